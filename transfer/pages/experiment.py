"""The page of a recipe's results, and of a trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from features import FeatureBank
from features.infrastructure.errors import InputError
from features.infrastructure.names import file_name
from finetune.run_directory import open_run
from similarity import STRATEGIES
from similarity.ranking.domain import TIED_BELOW
from transfer.arm import arm_of
from transfer.arm_comparison import ArmComparison, choosing_arm, compare_arms, headline, say_weighing, weighing_arms
from transfer.intervals import points
from transfer.pages.choice import Choice, describe_choice
from transfer.pages.costs import arm_costs, place_of, seconds_in_words
from transfer.pages.excerpts import ALL_CLASSES, BANKS, CLASSES, RUNS, SOURCES, of_arms, of_notes, of_text, say_shown
from transfer.pages.judgement import judgement
from transfer.pages.page import percent, render
from transfer.pages.pictures import Thumbnails, picture
from transfer.plots import arms_plot, counts_plot, domains_plot, history_plot
from transfer.trial.verdict import say_left_out
from transfer.uses import USES


def experiment_page(result: Mapping[str, Any], verdict: Mapping[str, Any] | None, directory: Path) -> str:
    """The page of results, as ``result.json`` holds them.

    Args:
        result: The results of a recipe.
        verdict: The verdict of a trial; None without one, or if it is of other runs.
        directory: The directory of the results, in which files are looked for that have moved with it.
    """
    if verdict is not None and verdict["starts"] != {arm["arm"]: arm["runs"][0]["run"] for arm in result["arms"]}:
        verdict = None
    recipe, thumbnails = result["recipe"], Thumbnails()
    notes: list[str] = []
    banks = {name: place_of(path, directory) for name, path in result["banks"].items()}
    opened = _opened(banks, notes)
    recorded = dict(list(opened.items())[:BANKS])
    arms, found = {arm["arm"]: arm for arm in result["arms"]}, compare_arms(result["arms"])
    shown = of_arms(result["arms"], found.accuracy)
    best = found.best if verdict is None else verdict["best"]
    choice: Choice | None = None
    name = choosing_arm(result["arms"], result["selections"])
    if name is not None:
        try:
            choice = describe_choice(result, arms[name], opened, thumbnails)
        except InputError as error:
            notes.append(f"What {name} chose cannot be shown: {error}")
    elif said := say_weighing(result["arms"]):
        notes.append(said)
    run_path = place_of(arms[best]["runs"][0]["run"], directory)
    run = open_run(run_path) if (run_path / "metrics.json").is_file() else None
    judged = None if run is None else judgement(run, thumbnails, directory / "predictions" / f"{file_name(best)}.csv")
    if run is None:
        notes.append(f"The run of {best} is not at hand: {run_path}")
    charts = dict(choice.charts) if choice is not None else {}
    if judged is not None and judged.chart is not None:
        charts["confusion"] = judged.chart
    costs, counted_all = arm_costs([arms[arm["arm"]] for arm in shown], directory)
    counted = {name: bank for name, bank in recorded.items() if bank.counts_known}
    domains = result["domains"][:SOURCES]
    target = thumbnails.dataset(result["target"])
    classes = () if target is None else target.classes
    return render(
        "experiment.html.j2",
        charts,
        result=result,
        verdict=verdict,
        headline=headline(result) if verdict is None else verdict["sentences"][0],
        left_out="" if verdict is None else say_left_out(verdict["left_out"]),
        best=best,
        arm_rows=_arm_rows(recipe, shown, found),
        arms_note=" ".join(
            filter(
                None,
                [
                    say_shown("most accurate", len(shown), len(arms), "arms"),
                    say_shown("first", min(RUNS, found.seeds), found.seeds, "runs of each arm"),
                ],
            )
        ),
        arm_place=[row["arm"] for row in (shown if verdict is None else result["arms"])].index(best),
        arms_picture=None
        if verdict is not None
        else picture(f"Top-1 accuracy of each arm with its interval; {best} is the best", arms_plot, shown, found),
        seeds=found.seeds,
        images=result["arms"][0]["runs"][0]["images"],
        chance=1 / len(classes) if classes else None,
        choice=choice,
        target_thumbnails=_target(result["target"], classes, thumbnails) if choice is None else [],
        chosen={
            name: [
                (row["rank"], row["class"], row["source"], percent(row["weight"]))
                for row in rows[: min(CLASSES, ALL_CLASSES // len(shown))]
            ]
            for name, rows in result["selections"].items()
            if name in {arm["arm"] for arm in shown} and not STRATEGIES[recipe["arms"][name]["strategy"]].takes_all
        },
        weighing=[arm["arm"] for arm in weighing_arms(result["arms"])],
        domains_picture=_domains_picture(domains),
        domains_note=say_shown("nearest", len(domains), len(result["domains"]), "sources"),
        domain_rows=[_domain_row(domain) for domain in domains],
        pairs=_neighbours(domains),
        judged=judged,
        history_picture=None
        if run is None or not run["history"]
        else picture(f"Training loss of {best} by step", history_plot, run["history"]),
        costs=costs,
        rounded=not counted_all,
        seconds=seconds_in_words(result["seconds"]),
        counts_picture=None
        if not counted
        else picture(
            "Images of each class of the target and the sources, the largest class first",
            counts_plot,
            {name: bank.counts for name, bank in counted.items()},
            next(iter(counted.values())).classes if len(counted) == 1 else None,
        ),
        banks_note=say_shown("first", len(recorded), len(opened), "feature banks"),
        uncounted=[name for name in recorded if name not in counted],
        skipped={name: bank.skipped for name, bank in recorded.items() if bank.skipped},
        bank_attrs={name: dict(bank.attrs) for name, bank in recorded.items()},
        recipe_yaml=of_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), "result.json"),
        command=shlex.join(["transfer", "run", "recipe.yaml", "--out", str(directory)]),
        thumbnails=thumbnails,
        notes=of_notes(notes),
    )


def _opened(banks: Mapping[str, Path], notes: list[str]) -> dict[str, FeatureBank]:
    """The banks that can be read, by dataset spec; the others are noted."""
    opened = {}
    for spec, path in banks.items():
        try:
            opened[spec] = FeatureBank.open(path)
        except InputError as error:
            notes.append(f"The feature bank of {spec} is not at hand: {error}")
    return opened


def _arm_rows(
    recipe: Mapping[str, Any], arms: Sequence[Mapping[str, Any]], found: ArmComparison
) -> list[tuple[Any, ...]]:
    """A row for each of some arms: what it is, its accuracy and interval, and what the best one has more."""
    rows = []
    for given in arms:
        name, arm = given["arm"], arm_of(recipe["arms"][given["arm"]])
        own, lead = found.accuracy[name], found.lead.get(name)
        what = arm.describe(recipe["classes"])
        if arm.strategy is not None:
            meaning = STRATEGIES[arm.strategy].meaning
            use = "" if arm.use == "subset" else f"; {USES[arm.use].meaning}"
            what = f"{what}: {meaning}{use}"
        leads = "best" if lead is None else f"{points(lead.value)} ({points(lead.low)} to {points(lead.high)})"
        if name in found.tied:
            leads += ", tied"
        interval = f"{percent(own.low)} to {percent(own.high)}"
        rows.append(
            (name, what, percent(own.value), interval, leads, " ".join(percent(r["top1"]) for r in given["runs"]))
        )
    return rows


def _target(spec: str, classes: Sequence[str], thumbnails: Thumbnails, most: int = 60) -> list[tuple[str, str | None]]:
    names = list(classes[:most])
    return list(zip(names, thumbnails.of_classes(spec, names), strict=True))


def _domains_picture(domains: Sequence[Mapping[str, Any]]) -> Any:
    if not domains:
        return None
    return picture(f"Distance of {len(domains)} sources to the target, nearest first", domains_plot, domains)


def _domain_row(domain: Mapping[str, Any]) -> tuple[Any, ...]:
    estimate, (low, high) = domain["nearest_class_distance_estimate"], domain["nearest_class_distance_interval"]
    known = estimate is not None and low is not None
    sure = domain["nearer_than_next"]
    return (
        domain["source"],
        domain["nearest_class_distance"],
        f"{estimate:.4f} ({low:.4f} to {high:.4f})" if known else None,
        "" if sure is None else f"{100 * sure:.0f}",
        domain["emd"],
        domain["similarity"],
        domain["classes"],
        domain["images"],
    )


def _neighbours(domains: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paired comparison of each source with the next one, in a sentence."""
    told = []
    for one, other in pairwise(domains):
        sure = one["nearer_than_next"]
        if sure is None:
            continue
        if sure >= TIED_BELOW:
            told.append(f"{one['source']} is nearer than {other['source']} ({100 * sure:.0f} % confidence).")
        elif sure > 1 - TIED_BELOW:
            pair = f"{one['source']} and {other['source']}"
            told.append(f"{pair} cannot be told apart: the first is nearer with {100 * sure:.0f} % confidence.")
        else:
            told.append(
                f"After correction for sampling noise, {other['source']} is nearer than {one['source']} "
                f"({100 - 100 * sure:.0f} % confidence)."
            )
    return told
