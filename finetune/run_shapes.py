"""What the files of a run directory must hold to be read; see :mod:`features.infrastructure.formats.shapes`.

Runs of earlier versions lack the entries that may be missing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from features.infrastructure.formats.shapes import Count, Share
from features.infrastructure.options import Range

Text = str | None


class Borders(TypedDict):
    """Training images of a class above which it is one of many, and below which one of few."""

    many: Count
    few: Count


class Pair(TypedDict):
    """One of ``confusions``."""

    true: str
    predicted: str
    images: Count
    share: Share


class _BestEpoch(TypedDict):
    epoch: Annotated[int, Range(1)]
    macro: Share
    images: Count


class BestEpoch(_BestEpoch, total=False):
    """``validation``: the best epoch."""

    top1: Share
    top5: Share


class _Figures(TypedDict):
    evaluated_on: str
    top1: Share
    top5: Share
    macro: Share
    many: Share | None
    medium: Share | None
    few: Share | None
    images: Annotated[int, Range(1)]
    classes: dict[str, Count]
    group_images: dict[str, Count]


class Figures(_Figures, total=False):
    """``metrics.json``."""

    evaluated_on_sha256: str
    judged_on: Literal["test", "validation", "training"]
    calibration_error: Share | None
    borders: Borders
    confusions: list[Pair]
    unreadable: Count
    validation: BestEpoch


class _Environment(TypedDict):
    inputs: dict[str, Text]


class Environment(_Environment, total=False):
    """``environment.json``."""

    run: str
    seed: int | None
    workers: int | None
    versions: dict[str, Text]
    argv: list[str]
    started: str
    images_admitted: str
    config_sha256: str
    history_sha256: str


class CallbackEntry(TypedDict):
    """One of ``callbacks`` that is given with arguments."""

    class_path: str


class RunOptions(TypedDict, total=False):
    """``config.yaml``: the options that are read of a run beside those that are compared as they are."""

    init: Text
    backbone: Text
    weights: Text
    method: Text
    loss: Text
    sampler: Text
    class_weights: Text
    with_: Text
    subset: Text
    dataset: Text
    test: Text
    out: Text
    sources: list[str] | Text
    steps: int | None
    epochs: int | None
    tau: float | None
    seed: int | None
    validation: int | Text
    callbacks: list[str | CallbackEntry] | None


#: A table of names and values.
Options = dict[str, Any]
