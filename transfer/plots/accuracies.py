"""Accuracies: of arms, of classes, and of models beside a measure that predicts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from finetune.evaluation.metrics import FEW, MANY
from transfer.arm_comparison import ArmComparison, compare_arms
from transfer.intervals import wilson
from transfer.plots.style import ACCENT, INK, MAIN, NAMED, WIDTH, annotate, frame, name_rows

#: Position of a class without images on a logarithmic axis.
NONE = 0.5


def arms_plot(
    arms: Sequence[Mapping[str, Any]],
    comparison: ArmComparison | None = None,
    *,
    label: str = "top-1 accuracy on test images, %",
    width: float = WIDTH,
) -> Figure:
    """Top-1 accuracy of each arm: its runs, their mean and its 95 % interval; the best arm is coloured.

    Arms that the runs do not tell from the best are named so; see :mod:`transfer.arm_comparison`.

    Args:
        arms: ``arms`` of the results of a recipe: mappings with ``arm`` and ``runs``.
        comparison: The best arm, the accuracies and the ties that are drawn; None for those of ``compare_arms``.
        label: What the axis says.
        width: Inches.
    """
    found = compare_arms(arms) if comparison is None else comparison
    figure, axes = frame(0.42 * len(arms) + 1.0, label, width=width)
    for row, arm in enumerate(arms):
        name, one = arm["arm"], found.accuracy[arm["arm"]]
        colour = ACCENT if name == found.best else MAIN
        values = [100 * run["top1"] for run in arm["runs"]]
        axes.plot([100 * one.low, 100 * one.high], [row, row], color=colour, linewidth=2, label=f"interval {name}")
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.5, markersize=5, label=f"runs {name}")
        axes.plot([100 * one.value], [row], "|", color=colour, markersize=16, markeredgewidth=2.5, label=f"mean {name}")
    ends = {found.best: " (best)"} | dict.fromkeys(found.tied, " (tied)")
    name_rows(axes, [arm["arm"] + ends.get(arm["arm"], "") for arm in arms], width)
    axes.grid(axis="x", alpha=0.3)
    axes.spines["left"].set_visible(False)
    return figure


def classes_plot(
    classes: Sequence[Mapping[str, Any]], borders: tuple[int, int] = (MANY, FEW), *, width: float = WIDTH
) -> Figure:
    """Accuracy of each class: by name if there are few classes, else against its number of training images.

    Named classes are in the order of their accuracy, each with the interval of Wilson. Of more classes there is one dot
    each, and bars at the means of many, medium and few; if all have as many training images, they are in the order of
    their accuracy.

    Args:
        classes: Mappings with ``class``, ``train_images``, ``images`` and ``accuracy``, as in ``per_class.csv``.
        borders: Classes with more training images than the first are many, those with fewer than the second are few.
        width: Inches.
    """
    if len(classes) <= NAMED:
        return _named(classes, width)
    counts, accuracies = (np.array([row[name] for row in classes]) for name in ("train_images", "accuracy"))
    alike = counts.min() == counts.max()
    wide = counts.max() >= 10 * max(counts.min(), 1)
    places = np.argsort(np.argsort(-accuracies, kind="stable")) + 1 if alike else counts
    by_accuracy = f"class, by accuracy; each has {counts[0]:,} training images"
    figure, axes = frame(2.8, by_accuracy if alike else "training images of the class", "accuracy, %", width)
    if wide:
        places = np.maximum(places, NONE)
    many_dots = len(classes) > 1000
    axes.plot(
        places, 100 * accuracies, "o", color=MAIN, alpha=0.4, markersize=4, markeredgewidth=0, rasterized=many_dots
    )
    many, few = borders
    groups = {"many": counts > many, "medium": (counts >= few) & (counts <= many), "few": counts < few}
    for name, group in groups.items():
        if group.any():
            mean, ends = 100 * accuracies[group].mean(), (places[group].min(), places[group].max())
            axes.plot(ends, [mean, mean], "|-", color=ACCENT, linewidth=2, label=name)
            annotate(axes, f"{name} {mean:.0f} %", (ends[1], mean), (-2, 4), ha="right", color=INK)
    if wide:
        log_counts(axes)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(-3, 103)
    axes.grid(alpha=0.3)
    return figure


def _named(classes: Sequence[Mapping[str, Any]], width: float) -> Figure:
    rows = sorted(classes, key=lambda row: -row["accuracy"])
    figure, axes = frame(0.2 * len(rows) + 0.9, "accuracy of the class, %", width=width)
    for place, row in enumerate(rows):
        if row["images"]:
            ends = wilson(round(row["accuracy"] * row["images"]), row["images"])
            axes.plot([100 * end for end in ends], [place, place], color=MAIN, linewidth=1.5, alpha=0.6)
    axes.plot([100 * row["accuracy"] for row in rows], range(len(rows)), "o", color=MAIN, markersize=5, label="classes")
    name_rows(axes, [str(row["class"]) for row in rows], width)
    axes.set_xlim(-2, 102)
    axes.grid(axis="x", alpha=0.3)
    return figure


def log_counts(axes: Axes) -> None:
    """Make a logarithmic x-axis of counts, on which :data:`NONE` stands for no image."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=99))
    axes.xaxis.set_major_formatter(lambda value, _: f"{0 if value <= NONE else value:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def models_plot(models: Sequence[Mapping[str, Any]], by: str, *, width: float = WIDTH) -> Figure:
    """A measure of transferability of each model, and beside it the accuracy of a linear probe where it is known.

    Args:
        models: ``models`` of ``transfer rank-models --json``, best first: mappings with ``model``, ``measures`` and
            ``test_top1``. A model without the measure has no dot.
        by: Name of the measure to draw.
        width: Inches.
    """
    probed = any(model["test_top1"] is not None for model in models)
    figure = Figure(figsize=(width, 0.3 * len(models) + 1.0), layout="constrained")
    frames = figure.subplots(1, 2 if probed else 1, sharey=True, squeeze=False)[0]
    columns: list[tuple[str, NDArray[np.float64]]] = [
        (by, np.array([_number(model["measures"].get(by)) for model in models])),
        ("top-1 of a linear probe, %", np.array([100 * _number(model["test_top1"]) for model in models])),
    ]
    for axes, (label, found), colour in zip(frames, columns, (MAIN, ACCENT), strict=False):
        axes.plot(found, range(len(models)), "o", color=colour)
        axes.set_xlabel(label, parse_math=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    name_rows(frames[0], [str(model["model"]) for model in models], width)
    return figure


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
