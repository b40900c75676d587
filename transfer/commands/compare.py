from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.infrastructure.disk.files import check_ending, check_new
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from finetune.evaluation.metrics import FEW, MANY
from finetune.run_directory import open_run
from finetune.run_tables import read_classes
from transfer.accuracies import CAUTIONS, judged_on
from transfer.run_description import describe_all
from transfer.screen import console, say, show_next, show_table

#: The figures that are compared, by their names in a run's metrics.
FIGURES = ("top1", "top5", "macro", "many", "medium", "few", "calibration_error")


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Compare the figures of several finished runs that were evaluated on the same images.

    Attributes:
        runs: Run directories; the others are compared with the first.
        out: A file (.csv) for the table.
        overwrite: Replace an existing file instead of refusing.
    """

    runs: list[str]
    out: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise InputError("`runs`: give at least two run directories")
        places = [Path(run).resolve() for run in self.runs]
        if twice := [run for run, place in zip(self.runs, places, strict=True) if places.count(place) > 1]:
            raise InputError(f"{twice[-1]}: is given twice; leave one out")
        if self.out is not None:
            check_ending(self.out, [".csv"])


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Attributes:
        run: Its directory.
        how: What it was trained or fitted with, in a few words.
        figures: Name → value of :data:`FIGURES`; None if the run does not have it.
        top1_error: Standard error of the top-1 accuracy over the images.
        gain: Mean accuracy of the classes minus that of the first run; None for the first run.
        gain_error: Standard error of ``gain``, paired over the classes; None for fewer than two classes, or if one of
            the two runs has no table of its classes.
        has_classes: Whether the run has a table of its classes.
        same_groups: Whether its many, medium and few are the same classes as in the first run, as far as the runs tell.
    """

    run: str
    how: str
    figures: Mapping[str, float | None]
    top1_error: float
    gain: float | None
    gain_error: float | None
    has_classes: bool
    same_groups: bool

    def to_json(self) -> dict[str, Any]:
        errors = {"top1_error": self.top1_error, "gain": self.gain, "gain_error": self.gain_error}
        return {"run": self.run, "how": self.how, **self.figures, **errors, "same_groups": self.same_groups}


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        evaluated_on: The dataset that all runs were evaluated on.
        judged_on: What these images are to the runs: test, validation or training.
        images: The number of these images.
        runs: The finished runs, in the order given.
        unfinished: Directories of unfinished runs.
    """

    evaluated_on: str
    judged_on: str
    images: int
    runs: tuple[ComparedRun, ...]
    unfinished: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        lists = {"runs": [run.to_json() for run in self.runs], "unfinished": list(self.unfinished)}
        return vars(self) | lists


def compare(config: CompareConfig) -> Comparison:
    """Compare the figures that the runs wrote; nothing is evaluated again.

    Raises:
        InputError: A directory holds no readable run, fewer than two runs are finished, or two runs were evaluated on
            different images.
    """
    if config.out is not None:
        read = [path for run in config.runs for path in Path(run).rglob("*")]
        check_new({"`out`": config.out}, read=read, overwrite=config.overwrite)
    opened = [open_run(run) for run in config.runs]
    finished = [run for run in opened if run["metrics"] is not None]
    unfinished = tuple(run["path"] for run in opened if run["metrics"] is None)
    if len(finished) < 2:
        raise InputError(f"{unfinished[0]}: is not finished; fewer than two finished runs are left to compare")
    first = finished[0]
    _require_same_images(finished)
    hows = describe_all([run["config"] for run in finished])
    tables = [_classes(run) for run in finished]
    compared = [
        _compared(run, how, table, first, tables[0]) for run, how, table in zip(finished, hows, tables, strict=True)
    ]
    figures = first["metrics"]
    use = judged_on(figures, tested="test data" in first["environment"]["inputs"])
    found = Comparison(figures["evaluated_on"], use, figures["images"], tuple(compared), unfinished)
    if config.out is not None:
        about = {"evaluated_on": found.evaluated_on, "images": found.images, "first": compared[0].run}
        rows = [run.to_json() for run in compared]
        write_table(config.out, about, tuple(rows[0]), [tuple(row.values()) for row in rows])
    return found


def _require_same_images(runs: Sequence[Mapping[str, Any]]) -> None:
    """Raise `InputError` that names all runs which were evaluated on other images than the first run."""
    first = runs[0]
    others = [run for run in runs[1:] if _images_of(run) != _images_of(first)]
    if not others:
        return
    where, told = first["metrics"]["evaluated_on"], []
    for run in others:
        theirs = run["metrics"]["evaluated_on"]
        what = f"other images of {where}" if theirs == where else f"{theirs}, {first['path']} on {where}"
        told.append(f"{run['path']}: was evaluated on {what}")
    raise InputError(
        f"{'; '.join(told)}, and accuracies on different images do not compare; leave "
        f"{'it' if len(others) == 1 else 'these runs'} out (transfer evaluate RUN DATASET evaluates a run on any "
        f"images)"
    )


def _images_of(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """A key of the images that a run was evaluated on."""
    inputs, figures, config = run["environment"]["inputs"], run["metrics"], run["config"]
    known = figures.get("evaluated_on_sha256") or inputs.get("test data")
    if known is not None:
        return (known,)
    # A run of an earlier version, evaluated on training images: these options decide which images were held out.
    return inputs.get("training data"), figures["evaluated_on"], config.get("validation"), config.get("seed")


def _classes(run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Class → its final figures, whose mean accuracy must be the run's own; empty if the run wrote no table."""
    found: dict[str, Mapping[str, Any]] = {row["class"]: row for row in read_classes(run["path"])}
    macro = run["metrics"]["macro"]
    if found and not math.isclose(np.mean([row["accuracy"] for row in found.values()]), macro, abs_tol=1e-6):
        raise InputError(
            f"{run['path']}/per_class.csv: its accuracies do not have the mean {macro:.4f} of the run's own figures; "
            f"the table is of other images, or was edited: remove it"
        )
    return found


def _compared(
    run: Mapping[str, Any],
    how: str,
    classes: Mapping[str, Mapping[str, Any]],
    first: Mapping[str, Any],
    first_classes: Mapping[str, Mapping[str, Any]],
) -> ComparedRun:
    """One run compared with the first, which may be the run itself."""
    figures, beside = run["metrics"], first["metrics"]
    shared = [name for name in classes if name in first_classes]  # all, where both have a table
    gains = [classes[name]["accuracy"] - first_classes[name]["accuracy"] for name in shared]
    spread = float(np.std(gains, ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else None
    return ComparedRun(
        run=run["path"],
        how=how,
        figures={name: figures.get(name) for name in FIGURES},
        top1_error=math.sqrt(figures["top1"] * (1 - figures["top1"]) / figures["images"]),
        gain=None if run is first else figures["macro"] - beside["macro"],
        gain_error=None if run is first else spread,
        has_classes=bool(classes),
        same_groups=_groups(figures, classes, shared) == _groups(beside, first_classes, shared),
    )


def _groups(figures: Mapping[str, Any], classes: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Any:
    """A key of the groups: the borders and sizes of many, medium and few, and which of ``names`` are many and few."""
    borders = figures.get("borders", {"many": MANY, "few": FEW})  # earlier versions had one pair only
    counts = {name: classes[name]["train_images"] for name in names}
    many = {name for name, count in counts.items() if count > borders["many"]}
    few = {name for name, count in counts.items() if count < borders["few"]}
    return borders, figures["classes"], many, few


def show(config: CompareConfig, result: Comparison) -> None:
    """Print the table of figures, what limits the comparison, and the command that follows."""
    say(f"{result.images:,} images of {result.evaluated_on}")
    if remark := CAUTIONS.get(result.judged_on):
        console.print(f"{remark}; train with --test DATASET to compare on other images")
    names = ("macro", "many", "medium", "few")
    rows = []
    for run in result.runs:
        gain = None if run.gain is None else f"{run.gain:+.4f}"
        figures = [run.figures["top1"], run.top1_error, *(run.figures[name] for name in names)]
        rows.append((run.run, run.how, *figures, gain, run.gain_error))
    show_table(["run", "", ">top1", ">±", *(f">{name}" for name in names), ">macro − first", ">±"], rows)
    say(
        "\n± is the standard error of top1 over the images, or of the difference paired over the classes; it does not "
        "include the variation between seeds"
    )
    if missing := [run.run for run in result.runs if not run.has_classes]:
        say(f"the difference has no ± without per_class.csv in the run: {', '.join(missing)}")
        lacking = shlex.quote(missing[0])
        say(f"  transfer evaluate {lacking} {shlex.quote(result.evaluated_on)} --per-class {lacking}/per_class.csv")
    if others := [run.run for run in result.runs if not run.same_groups]:
        say(f"many, medium and few are not the first run's classes: {', '.join(others)}")
    if result.unfinished:
        say(f"these runs are not finished and are left out: {', '.join(result.unfinished)}")
    if config.out is not None:
        say(f"the table: {config.out}")
    best = shlex.quote(max(result.runs, key=lambda run: run.figures["top1"] or 0.0).run)
    show_next(f"transfer report {best}", f"transfer predict {best} PHOTOS --out predictions.csv")
