"""``transfer compare``: the figures of several runs side by side, and what each is above the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.infrastructure.errors import InputError
from features.infrastructure.files import check_new
from features.infrastructure.tables import write_table
from finetune.evaluation.metrics import FEW, MANY
from finetune.run_directory import open_run, read_classes

#: The figures that stand side by side, as a run names them.
FIGURES = ("top1", "top5", "macro", "many", "medium", "few", "calibration_error")
#: Options of a run that say nothing of how it was trained.
_NOT_HOW = {"out", "test", "workers", "tensorboard", "device"}


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
        places = [Path(run).resolve() for run in self.runs]
        if twice := [run for run, place in zip(self.runs, places, strict=True) if places.count(place) > 1]:
            raise InputError(f"{twice[-1]}: is given twice; leave one out")
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
        gain: Mean accuracy of the classes less that of the first run; None for the first one.
        gain_error: Standard error of ``gain``, paired over the classes; None for fewer than two of them, and where one
            of the two runs has no table of its classes.
        has_classes: Whether the run has a table of its classes.
        same_groups: Whether its many, medium and few are the classes that they are for the first run, as far as is
            known.
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
    if config.out is not None:
        read = [path for run in config.runs for path in Path(run).rglob("*")]
        check_new({"--out": config.out}, read=read, overwrite=config.overwrite)
    opened = [open_run(run) for run in config.runs]
    finished = [run for run in opened if run["metrics"] is not None]
    unfinished = tuple(run["path"] for run in opened if run["metrics"] is None)
    if len(finished) < 2:
        raise InputError(f"{unfinished[0]}: is not finished; fewer than two runs are left to compare")
    first = finished[0]
    _require_same_images(finished)
    hows = _hows([run["config"] for run in finished])
    tables = [_classes(run) for run in finished]
    compared = [
        _compared(run, how, table, None if run is first else (first["metrics"], tables[0]))
        for run, how, table in zip(finished, hows, tables, strict=True)
    ]
    figures = first["metrics"]
    on_training_images = "test data" not in first["environment"]["inputs"]
    found = Comparison(figures["evaluated_on"], on_training_images, figures["images"], tuple(compared), unfinished)
    if config.out is not None:
        about = {"evaluated_on": found.evaluated_on, "images": found.images, "first": compared[0].run}
        rows = [run.to_json() for run in compared]
        write_table(config.out, about, tuple(rows[0]), [tuple(row.values()) for row in rows])
    return found


def _require_same_images(runs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what was evaluated on other images than the first run, all of it at once."""
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
        f"{'it' if len(others) == 1 else 'these runs'} out (transfer evaluate RUN DATASET tells a run's figures on any "
        f"images)"
    )


def _images_of(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells the images that a run was evaluated on from others."""
    inputs, figures, config = run["environment"]["inputs"], run["metrics"], run["config"]
    known = figures.get("evaluated_on_sha256") or inputs.get("test data")
    if known is not None:
        return (known,)
    # Of an earlier version, on training images: which ones were left follows from these.
    return inputs.get("training data"), figures["evaluated_on"], config.get("validation"), config.get("seed")


def _classes(run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Class → its final figures; empty where the run wrote none.

    Raises:
        InputError: They are not those of the run's mean accuracy.
    """
    found: dict[str, Mapping[str, Any]] = {row["class"]: row for row in read_classes(run["path"])}
    macro = run["metrics"]["macro"]
    if found and not math.isclose(np.mean([row["accuracy"] for row in found.values()]), macro, abs_tol=1e-6):
        raise InputError(
            f"{run['path']}/per_class.csv: its accuracies do not have the mean {macro:.4f} of the run's own figures; "
            f"it is of other images, or was edited: take it away"
        )
    return found


def _compared(
    run: Mapping[str, Any],
    how: str,
    classes: Mapping[str, Mapping[str, Any]],
    first: tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]] | None,
) -> ComparedRun:
    """One run beside the figures and the classes of the first one, which is None for the first one itself."""
    figures = run["metrics"]
    top1, gain, gain_error, same_groups = figures["top1"], None, None, True
    if first is not None:
        beside, theirs = first
        gain = figures["macro"] - beside["macro"]
        shared = [name for name in classes if name in theirs]  # all, where both have a table
        if len(shared) > 1:
            gains = [classes[name]["accuracy"] - theirs[name]["accuracy"] for name in shared]
            gain_error = float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
        groups = [_groups(each, table, shared) for each, table in ((figures, classes), (beside, theirs))]
        same_groups = groups[0] == groups[1]
    return ComparedRun(
        run=run["path"],
        how=how,
        figures={name: figures.get(name) for name in FIGURES},
        top1_error=math.sqrt(top1 * (1 - top1) / figures["images"]),
        gain=gain,
        gain_error=gain_error,
        has_classes=bool(classes),
        same_groups=same_groups,
    )


def _groups(figures: Mapping[str, Any], classes: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Any:
    """Borders and sizes of many, medium and few, and of the classes with these names those that are many and few."""
    borders = figures.get("borders", {"many": MANY, "few": FEW})  # earlier versions had one pair only
    counts = {name: classes[name]["train_images"] for name in names}
    many = {name for name, count in counts.items() if count > borders["many"]}
    few = {name for name, count in counts.items() if count < borders["few"]}
    return borders, figures["classes"], many, few


def _hows(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each run was trained or fitted with, in a few words; options only where these do not tell them apart."""
    words = [describe(config) for config in configs]
    if len({_data(config) for config in configs}) > 1:
        words = [f"{mine} on {_data(config)}" for mine, config in zip(words, configs, strict=True)]
    found = []
    for mine, config in zip(words, configs, strict=True):
        alike = [other for other, theirs in zip(configs, words, strict=True) if theirs == mine]
        names = [
            name
            for name, value in config.items()
            if name not in _NOT_HOW and value is not None and any(other.get(name, value) != value for other in alike)
        ]
        found.append(", ".join([mine, *(f"{name} {config[name]}" for name in names)]))
    return found


def _data(config: Mapping[str, Any]) -> str:
    """What a run was trained on: its dataset, or the sources or the subset of a pre-training."""
    given = config.get("dataset") or config.get("subset") or config.get("sources") or ""
    return given if isinstance(given, str) else " + ".join(given)


def describe(config: Mapping[str, Any]) -> str:
    """What a run was trained or fitted with, in a few words.

    Args:
        config: The options of the run, as :func:`finetune.run_directory.open_run` reads them.
    """
    start = Path(config.get("init") or config["backbone"]).name
    untrained = config.get("weights") == "none"
    method = config.get("method", "full")
    if method != "full":
        tau = "" if config.get("tau") is None else f" {config['tau']:g}"
        return f"{method}{tau} on {'untrained ' * untrained}{start}"
    words = [config["loss"]]
    if config.get("sampler", "shuffle") != "shuffle":
        words.append(f"sampler {config['sampler']}")
    budget = "epochs" if config.get("steps") is None else "steps"
    way = f"of {start} from scratch" if untrained else f"from {start}"
    return ", ".join([*words, f"{config[budget]} {budget} {way}"])
