"""The page of several runs side by side."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune.run_tables import read_predictions
from transfer.accuracies import shown_groups
from transfer.arm_comparison import ArmComparison, listed, say_tied
from transfer.commands.compare import CompareConfig, ComparedRun, Comparison, compare
from transfer.intervals import Estimate, points, share_of
from transfer.pages.excerpts import of_arms, say_shown
from transfer.pages.page import percent, render
from transfer.pages.pictures import picture
from transfer.plots import arms_plot
from transfer.trial.verdict import lead_of


def comparison_page(runs: Sequence[str]) -> str:
    """The page of two or more runs that were evaluated on the same images.

    Raises:
        InputError: As :func:`transfer.commands.compare.compare`.
    """
    found = compare(CompareConfig(runs=list(runs)))
    compared, unpaired = compare_runs(found)
    names = [run.run for run in found.runs]
    arms = [{"arm": run.run, "runs": [{"top1": run.figures["top1"]}]} for run in found.runs]
    shown = of_arms(arms, compared.accuracy)
    alt = f"Top-1 accuracy of {len(shown)} runs with intervals; {compared.best} is the best"
    label = f"top-1 accuracy on {found.judged_on} images, %"
    groups = shown_groups([run.figures for run in found.runs])
    return render(
        "comparison.html.j2",
        found=found,
        headline=_headline(compared),
        rows=[_row(run, compared) for run in found.runs],
        best=names.index(compared.best),
        arms_picture=picture(alt, arms_plot, shown, compared, label=label),
        arms_note=say_shown("most accurate", len(shown), len(arms), "runs", "the table"),
        groups=groups,
        means=[
            (run.run, *(percent(run.figures[name]) for name in ("macro", *groups)), _gain(run)) for run in found.runs
        ],
        unpaired=unpaired,
        command=shlex.join(["transfer", "report", *names, "--out", "comparison.html", "--overwrite"]),
    )


def compare_runs(found: Comparison) -> tuple[ArmComparison, str]:
    """Compare runs with the best one in pairs over the images, by their tables of predictions.

    Returns:
        The comparison, and why no lead is known, which is empty if the leads are known.
    """
    accuracy = {run.run: share_of(run.figures["top1"] or 0.0, found.images) for run in found.runs}
    best = max(accuracy, key=lambda name: accuracy[name].value)
    tables = {name: read_predictions(Path(name) / "predictions.csv") for name in accuracy}
    why = _unpaired(tables)
    lead: Mapping[str, Estimate] = {}
    if not why:
        correct = {name: np.array(table["class"]) == np.array(table["label"]) for name, table in tables.items()}
        lead = {name: lead_of(correct[best], hits) for name, hits in correct.items() if name != best}
    tied = tuple(name for name, one in lead.items() if one.low <= 0)
    return ArmComparison(best, accuracy, lead, tied, seeds=1), why


def _unpaired(tables: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    """Why the tables of predictions of the runs do not pair; empty if they do."""
    if missing := [name for name, table in tables.items() if not table["image"]]:
        return f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} no predictions.csv"
    first, *rest = tables
    if others := [name for name in rest if tables[name]["image"] != tables[first]["image"]]:
        lists = "lists" if len(others) == 1 else "list"
        return f"predictions.csv of {listed(others)} {lists} other images than that of {first}, or in another order"
    return ""


def _headline(found: ArmComparison) -> str:
    own = found.accuracy[found.best]
    text = (
        f"{found.best} is the most accurate: {percent(own.value)} % "
        f"(95 % interval {percent(own.low)} to {percent(own.high)})"
    )
    if found.tied:
        return f"{text}. {say_tied(found.tied, 'images')}"
    if found.lead:
        name, nearest = min(found.lead.items(), key=lambda one: one[1].value)
        return f"{text}, {points(nearest.value)} points ({points(nearest.low)} to {points(nearest.high)}) over {name}."
    return f"{text}."


def _row(run: ComparedRun, found: ArmComparison) -> tuple[Any, ...]:
    own, one = found.accuracy[run.run], found.lead.get(run.run)
    behind = "" if one is None else f"{points(one.value)} ({points(one.low)} to {points(one.high)})"
    if run.run in found.tied:
        behind += ", tied"
    return run.run, run.how, percent(own.value), f"{percent(own.low)} to {percent(own.high)}", behind


def _gain(run: ComparedRun) -> str:
    if run.gain is None:
        return ""
    return points(run.gain) + ("" if run.gain_error is None else f" ± {percent(run.gain_error)}")
