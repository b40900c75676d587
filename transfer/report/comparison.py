"""The page of several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune.run_directory import read_predictions
from transfer.commands.compare import CompareConfig, Comparison, compare
from transfer.intervals import Figure, share_of
from transfer.plots import arms_plot
from transfer.report.page import percent, points, render
from transfer.report.pictures import picture
from transfer.trial.verdict import judge


def comparison_page(runs: Sequence[str]) -> str:
    """The page of two or more runs that were evaluated on the same images.

    Raises:
        InputError: As :func:`transfer.commands.compare.compare`.
    """
    found = compare(CompareConfig(runs=list(runs)))
    lead = _leads(found)
    best = max(found.runs, key=lambda run: run.figures["top1"] or 0.0).run
    arms = [{"arm": run.run, "runs": [{"top1": run.figures["top1"], "images": found.images}]} for run in found.runs]
    return render(
        "comparison.html.j2",
        found=found,
        headline=_headline(found, best, lead),
        rows=[_row(run, found, lead) for run in found.runs],
        best=[run.run for run in found.runs].index(best),
        arms_picture=picture(f"Top-1 accuracy of {len(arms)} runs with intervals; {best} is the best", arms_plot, arms),
        groups=[
            (run.run, *(percent(run.figures[name]) for name in ("macro", "many", "medium", "few")), _gain(run))
            for run in found.runs
        ],
        paired=bool(lead),
    )


def _leads(found: Comparison) -> Mapping[str, Figure]:
    """Run → accuracy of the best less its own, paired over the images; empty if a run has no table of predictions."""
    tables = {run.run: read_predictions(Path(run.run) / "predictions.csv") for run in found.runs}
    images = next(iter(tables.values()))["image"]
    if not images or any(table["image"] != images for table in tables.values()):
        return {}
    correct = {name: np.array(table["class"]) == np.array(table["label"]) for name, table in tables.items()}
    return judge(correct).lead


def _headline(found: Comparison, best: str, lead: Mapping[str, Figure]) -> str:
    own = share_of(next(run.figures["top1"] or 0.0 for run in found.runs if run.run == best), found.images)
    text = (
        f"{best} is the most accurate: {percent(own.value)} % (95 % interval {percent(own.low)} to {percent(own.high)})"
    )
    tied = [name for name, one in lead.items() if one.low <= 0]
    if tied:
        return f"{text}. The images do not tell it from {', '.join(tied)}."
    if lead:
        name, nearest = min(lead.items(), key=lambda one: one[1].value)
        return f"{text}, {points(nearest.value)} points ({points(nearest.low)} to {points(nearest.high)}) over {name}."
    return f"{text}."


def _row(run: Any, found: Comparison, lead: Mapping[str, Figure]) -> tuple[Any, ...]:
    own, one = share_of(run.figures["top1"], found.images), lead.get(run.run)
    behind = "" if one is None else f"{points(one.value)} ({points(one.low)} to {points(one.high)})"
    if one is not None and one.low <= 0:
        behind += ", tied"
    return run.run, run.how, percent(own.value), f"{percent(own.low)} to {percent(own.high)}", behind


def _gain(run: Any) -> str:
    if run.gain is None:
        return ""
    return points(run.gain) + ("" if run.gain_error is None else f" ± {100 * run.gain_error:.1f}")
