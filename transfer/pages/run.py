"""The page of one run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from similarity import Subset
from transfer.accuracies import CAUTIONS, GROUPS, accuracy_table, judged_on, shown_groups
from transfer.intervals import share_of
from transfer.lineage import Step, lineage
from transfer.pages.costs import is_counted, seconds_in_words, training_cost
from transfer.pages.excerpts import of_text
from transfer.pages.judgement import judgement
from transfer.pages.page import percent, render
from transfer.pages.pictures import Thumbnails, picture
from transfer.plots import history_plot
from transfer.run_description import describe

#: Chosen classes that are named.
NAMED = 200
#: What the page calls figures whose names in ``metrics.json`` say little.
CALLED = {
    "evaluated_on": "the images that judged it",
    "judged_on": "what these images are to the run",
    "calibration_error": "expected calibration error: how far its probabilities are from its accuracy, 0 to 1",
}


def run_page(run: Mapping[str, Any]) -> str:
    """The page of a run, as :func:`finetune.run_directory.open_run` reads it."""
    figures, thumbnails, steps = run["metrics"], Thumbnails(), lineage(run["path"])
    judged = None if figures is None else judgement(run, thumbnails)
    cost = training_cost(run["history"])
    begun = run["environment"]  # runs of earlier versions say less
    kind, config = begun.get("run", ""), f"{run['path']}/config.yaml"
    return render(
        "run.html.j2",
        {"confusion": judged.chart} if judged is not None and judged.chart is not None else {},
        run=run,
        kind=kind,
        started=_moment(begun.get("started", "")),
        how=describe(run["config"]),
        headline="The run is not finished. The same command resumes from the last checkpoint, if there is one."
        if figures is None
        else _headline(run),
        origin=_origin(steps),
        steps=[_row(step) for step in reversed(steps)],
        commands=[step.command for step in reversed(steps) if step.command],
        chosen=[_chosen(use, subset) for step in reversed(steps) for use, subset in step.choices],
        accuracies=None if figures is None else _accuracies(figures),
        others={} if figures is None else _others(figures),
        judged=judged,
        history_picture=picture("Training loss by step", history_plot, run["history"]) if run["history"] else None,
        validated=any("validation_top1" in row for row in run["history"]),
        cost=None if cost is None else (seconds_in_words(cost[0]), cost[1]),
        counted=is_counted(run["history"]),
        command=f"transfer {kind} --config {shlex.quote(config)} --out AGAIN" if kind else "",
        config_yaml=of_text(yaml.safe_dump(run["config"], sort_keys=False, allow_unicode=True), "config.yaml"),
        weights=_weights(steps),
        thumbnails=thumbnails,
    )


def _moment(given: str) -> str:
    """A moment in ISO 8601 for a person to read, in the time zone that it states.

    >>> _moment("2026-01-05T11:15:56.510109+00:00")
    '5 January 2026, 11:15 UTC'
    """
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        return given
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".strip()


def _weights(steps: Sequence[Step]) -> str:
    """What the weights called ``default`` are, if they are those of an earlier run; else empty."""
    if not steps or steps[0].config.get("weights") != "default" or (len(steps) == 1 and not steps[0].lost):
        return ""
    return "weights: default stands for those of the run that this one started from."


def _headline(run: Mapping[str, Any]) -> str:
    """The accuracy of a run in a sentence: of its validation where it has no test, never of training images then."""
    figures = run["metrics"]
    judged = judged_on(figures, tested="test data" in run["environment"]["inputs"])
    validation = figures.get("validation")
    if judged == "training" and validation is not None and "top1" in validation:
        return (
            f"Top-1 accuracy is {percent(validation['top1'])} % on the validation images, by which epoch "
            f"{validation['epoch']} was chosen. The figures below are of training images."
        )
    own = share_of(figures["top1"], figures["images"])
    where = figures.get("evaluated_on", "")
    text = (
        f"Top-1 accuracy is {percent(own.value)} % (95 % interval {percent(own.low)} to {percent(own.high)}) on "
        f"{figures['images']:,} {judged} images{f' of {where}' if where and judged == 'test' else ''}."
    )
    if caution := CAUTIONS.get(judged):
        text += f" {caution[0].upper()}{caution[1:]}; add --test DATASET for the accuracy on other images."
    return text


def _origin(steps: Sequence[Step]) -> str:
    """What a run was pre-trained on, in a sentence."""
    if not steps:
        return ""
    first = steps[-1]
    start = first.config.get("init") or first.config.get("backbone") or ""
    if first.lost:
        said = f"It began with an earlier run, {first.lost}, which is not at hand"
    elif first.config.get("weights") == "none":
        said = f"It began with random weights of {start}"
    else:
        said = f"It began with {start} as published"
    for step in reversed(steps[1:]):
        said += f", was trained on {_data(step)}"
    return f"{said}, and was then trained on {_data(steps[0])}."


def _data(step: Step) -> str:
    """The training data of a step."""
    for use, subset in step.choices:
        if use.startswith("pre-trained"):
            strategy = subset.provenance.get("strategy")
            how = f" chosen by {strategy}" if strategy else ""
            return f"{len(subset):,} classes{how} of {' + '.join(subset.sources)}"
    given = step.config.get("dataset") or step.config.get("sources") or step.config.get("subset") or "other data"
    text = given if isinstance(given, str) else " + ".join(given)
    for use, subset in step.choices:
        text += f" ({use}: {len(subset):,})"
    return text


def _row(step: Step) -> tuple[str, ...]:
    note = "".join(f" ({one})" for one in step.notes)
    return step.kind, step.how + note, _data(step)


def _chosen(use: str, subset: Subset) -> dict[str, Any]:
    """What the page shows of a choice of source classes: how it was made, and its classes in their order."""
    known, rows = subset.provenance, subset.rows
    how = " in the geometry ".join(str(known[name]) for name in ("strategy", "geometry") if known.get(name))
    targets = [str(target["dataset"]) for target in known.get("targets", ()) if target]
    shares = any(row.weight is not None for row in rows)
    columns = [">rank", "class", "source", ">images", ">score", *([">serves, %"] if shares else [])]
    return {
        "title": f"{len(rows):,} source classes: {use}",
        "how": f"They were chosen by {how} for {' and '.join(targets)}." if how and targets else "",
        "columns": columns,
        "rows": [
            (row.rank, row.class_name, row.source, row.count, row.distance, percent(row.weight))[: len(columns)]
            for row in rows[:NAMED]
        ],
        "more": max(0, len(rows) - NAMED),
        "shares": shares,
    }


def _accuracies(figures: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """The table of accuracies, whose first column names its rows; without groups where all classes are in one."""
    names, rows = accuracy_table(figures)
    left_out = () if shown_groups([figures]) else GROUPS
    kept = [place for place, name in enumerate(names) if name not in left_out]
    rows = [[row[place] for place in kept] for row in rows]
    return ["", *(f">{names[place]}" for place in kept[1:])], [row for row in rows if any(row[1:])]


def _others(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures that the table of accuracies does not hold, by what the page calls them."""
    shown = {*accuracy_table(figures)[0], "images", "evaluated_on_sha256"}
    plain = {
        CALLED.get(name, name.replace("_", " ")): value
        for name, value in figures.items()
        if name not in shown and not isinstance(value, (Mapping, list))
    }
    validation = figures.get("validation") or {}
    return plain | {
        f"validation {name}": value for name, value in validation.items() if isinstance(value, (int, float))
    }
