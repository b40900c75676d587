"""``transfer compare``: the figures of several runs side by side, and what each is above the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import InputError
from features.outputs import check_new
from features.table import write_table
from finetune.run_directory import open_run

#: The figures that stand side by side, as a run names them.
FIGURES = ("top1", "top5", "macro", "many", "medium", "few", "calibration_error")


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Set the figures of several finished runs side by side, all of them evaluated on the same images.

    Attributes:
        runs: Run directories; the others are compared with the first.
        out: A file (.csv) for the table.
        overwrite: Replace a file that is there instead of refusing.
    """

    runs: list[str]
    out: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise InputError("compare: give at least two run directories")
        if twice := [run for run in self.runs if self.runs.count(run) > 1]:
            raise InputError(f"{twice[0]}: is given twice; leave one out")
        if self.out is not None and not self.out.endswith(".csv"):
            raise InputError(f"--out {self.out}: expected a file name that ends in .csv")


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Attributes:
        run: Its directory.
        how: What it was trained or fitted with, in a few words.
        figures: Name → value of :data:`FIGURES`; None where it has none.
        top1_error: Standard error of the top-1 accuracy over the images.
        class_accuracies: Class → accuracy; empty where the run wrote no table of its classes.
        gain: Mean accuracy of the classes less that of the first run; None for the first one, and where one of them has
            no table of its classes.
        gain_error: Standard error of ``gain``, paired over the classes; None for fewer than two.
    """

    run: str
    how: str
    figures: Mapping[str, float | None]
    top1_error: float
    class_accuracies: Mapping[str, float]
    gain: float | None
    gain_error: float | None

    def to_json(self) -> dict[str, Any]:
        mine = {"top1_error": self.top1_error, "gain": self.gain, "gain_error": self.gain_error}
        return {"run": self.run, "how": self.how, **self.figures, **mine}


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        evaluated_on: What all of them were evaluated on.
        on_training_images: Whether these are images that they were trained on.
        images: How many they are.
        runs: The finished runs, as they were given.
        unfinished: Directories of runs that are not finished.
    """

    evaluated_on: str
    on_training_images: bool
    images: int
    runs: tuple[ComparedRun, ...]
    unfinished: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "evaluated_on": self.evaluated_on,
            "on_training_images": self.on_training_images,
            "images": self.images,
            "runs": [run.to_json() for run in self.runs],
            "unfinished": list(self.unfinished),
        }


def compare(config: CompareConfig) -> Comparison:
    """Read the runs' figures; nothing is evaluated again.

    Raises:
        InputError: A directory holds no run that can be read, fewer than two runs are finished, or two were evaluated
            on different images.
    """
    read = [Path(run) / name for run in config.runs for name in ("config.yaml", "per_class.csv")]
    check_new({"--out": config.out}, read=read, overwrite=config.overwrite)
    opened = [open_run(run) for run in config.runs]
    finished = [run for run in opened if run["metrics"] is not None]
    unfinished = tuple(run["path"] for run in opened if run["metrics"] is None)
    if len(finished) < 2:
        raise InputError(f"{unfinished[0]}: is not finished; fewer than two runs are left to compare")
    first = finished[0]
    for run in finished[1:]:
        _require_same_images(first, run)
    compared = [_compared(first, {})]
    compared += [_compared(run, compared[0].class_accuracies) for run in finished[1:]]
    figures = first["metrics"]
    on_training_images = "test data" not in first["environment"]["inputs"]
    found = Comparison(figures["evaluated_on"], on_training_images, figures["images"], tuple(compared), unfinished)
    if config.out is not None:
        about = {"evaluated_on": found.evaluated_on, "images": found.images, "first": compared[0].run}
        rows = [run.to_json() for run in compared]
        write_table(config.out, about, tuple(rows[0]), [tuple(row.values()) for row in rows])
    return found


def _require_same_images(first: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    one, other = (_images_of(each) for each in (first, run))
    if one != other:
        names = [each["metrics"]["evaluated_on"] for each in (first, run)]
        what = f"{names[1]}, {first['path']} on {names[0]}" if names[0] != names[1] else f"other images of {names[0]}"
        raise InputError(
            f"{run['path']}: was evaluated on {what}, and accuracies on different images do not compare; leave it out, "
            f"or evaluate both on the same: transfer evaluate RUN DATASET"
        )


def _images_of(run: Mapping[str, Any]) -> tuple[str, str]:
    """What tells the images that a run was evaluated on from others: their hash, and which of them were taken."""
    inputs = run["environment"]["inputs"]
    if "test data" in inputs:
        return inputs["test data"], ""
    return inputs.get("training data", ""), run["metrics"]["evaluated_on"]


def _compared(run: Mapping[str, Any], first: Mapping[str, float]) -> ComparedRun:
    """One run beside the first one's accuracies by class; these are empty for the first one itself."""
    figures, mine = run["metrics"], {row["class"]: row["accuracy"] for row in run["classes"]}
    top1 = figures["top1"]
    gains = np.array([mine[name] - first[name] for name in mine.keys() & first.keys()])
    return ComparedRun(
        run=run["path"],
        how=_how(run["config"]),
        figures={name: figures.get(name) for name in FIGURES},
        class_accuracies=mine,
        top1_error=math.sqrt(top1 * (1 - top1) / figures["images"]),
        gain=float(gains.mean()) if len(gains) else None,
        gain_error=float(gains.std(ddof=1) / math.sqrt(len(gains))) if len(gains) > 1 else None,
    )


def _how(config: Mapping[str, Any]) -> str:
    """What a run was trained or fitted with, in a few words."""
    start = Path(config.get("init") or config["backbone"]).name
    method = config.get("method", "full")
    if method != "full":
        tau = "" if config.get("tau") is None else f" {config['tau']:g}"
        return f"{method}{tau} on {start}"
    words = [config["loss"]]
    if config.get("sampler", "shuffle") != "shuffle":
        words.append(f"sampler {config['sampler']}")
    budget = "epochs" if config.get("steps") is None else "steps"
    return ", ".join([*words, f"{config[budget]} {budget} from {start}"])
