"""Pictures for the report, as PNG bytes. These functions only draw: every number is an argument."""

from __future__ import annotations

import io
import logging
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image

from features.dataset import ImageDataset
from features.image_sources import UnreadableImage
from finetune.evaluation.metrics import FEW, MANY

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it warns about every missing fallback font
#: Position of a class without images on a logarithmic axis.
NONE = 0.5
INK, ACCENT, QUIET = "#1f2937", "#b45309", "#6b7280"


def arms_plot(arms: Sequence[Mapping[str, object]]) -> bytes:
    """Top-1 accuracy of each arm: one dot a run, a bar at the mean; the last arm is coloured."""
    figure, axes = _frame(0.5 * len(arms) + 1.1, "top-1 accuracy on the target's test images, %", "")
    for row, arm in enumerate(arms):
        color = ACCENT if row == len(arms) - 1 else QUIET
        values = [100 * run["top1"] for run in arm["runs"]]  # type: ignore[attr-defined]
        axes.plot(values, [row] * len(values), "o", color=color, alpha=0.6, markersize=6)
        axes.plot([np.mean(values)] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2.5)
    axes.set_yticks(range(len(arms)), [str(arm["arm"]) for arm in arms])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.spines["left"].set_visible(False)
    return _png(figure)


def counts_plot(counts: NDArray[np.int64], title: str) -> bytes:
    """Images of each class, largest class first, with the borders of many, medium and few.

    Args:
        counts: (C,) images of each class.
        title: Name of the dataset.
    """
    figure, axes = _frame(2.6, "class, by size", "images")
    ordered = np.sort(counts)[::-1]
    axes.fill_between(np.arange(1, len(ordered) + 1), ordered, 0.5, step="mid", color=QUIET, alpha=0.5)
    axes.set_yscale("log")
    axes.set_ylim(0.7, 1.8 * max(ordered[0], 1))
    axes.set_xlim(0.5, len(ordered) + 0.5)
    for border, name in ((MANY, "many"), (FEW, "few")):
        if ordered[-1] < border < ordered[0]:
            axes.axhline(border, color=ACCENT, linewidth=0.8, linestyle=":")
            above = name == "many"
            axes.annotate(
                f"{name} ({'>' if above else '<'} {border})",
                (len(ordered) + 0.5, border),
                xytext=(-3, 3 if above else -3),
                textcoords="offset points",
                ha="right",
                va="bottom" if above else "top",
                fontsize=8,
                color=ACCENT,
            )
    axes.set_title(textwrap.shorten(title, 90), fontsize=10, color=INK, loc="left")
    return _png(figure)


def classes_plot(classes: Sequence[Mapping[str, Any]], borders: tuple[int, int] = (MANY, FEW)) -> bytes:
    """Accuracy of each class over its training images: one dot a class, bars at the means of many, medium and few.

    Classes that all have the same number of training images are ordered by accuracy.

    Args:
        classes: Mappings with ``train_images`` and ``accuracy``.
        borders: Classes with more training images than the first are many, those with fewer than the second are few.
    """
    counts, accuracies = (np.array([row[name] for row in classes]) for name in ("train_images", "accuracy"))
    alike = counts.min() == counts.max()
    wide = counts.max() >= 10 * max(counts.min(), 1)
    places = np.argsort(np.argsort(-accuracies, kind="stable")) + 1 if alike else counts
    by_accuracy = f"class, by accuracy; each has {counts[0]} training images"
    figure, axes = _frame(2.8, by_accuracy if alike else "training images of the class", "accuracy, %")
    if wide:
        places = np.maximum(places, NONE)
    axes.plot(places, 100 * accuracies, "o", color=QUIET, alpha=0.5, markersize=4, markeredgewidth=0)
    many, few = borders
    for group in (counts > many, (counts >= few) & (counts <= many), counts < few):
        if group.any():
            mean = 100 * accuracies[group].mean()
            axes.plot([places[group].min(), places[group].max()], [mean, mean], "|-", color=ACCENT, linewidth=2)
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=99))
        axes.xaxis.set_major_formatter(lambda value, _: f"{0 if value <= NONE else value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(-3, 103)
    axes.grid(alpha=0.3)
    return _png(figure)


def history_plot(history: Sequence[Mapping[str, float]]) -> bytes:
    """Training loss by step."""
    figure, axes = _frame(2.6, "step", "training loss")
    axes.plot([row["step"] for row in history], [row["train_loss"] for row in history], color=ACCENT)
    axes.grid(alpha=0.3)
    return _png(figure)


def gallery(images: Sequence[tuple[str, Image.Image]], columns: int = 10, lines: int = 3) -> bytes:
    """Thumbnails, with captions of so many lines."""
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.0 * columns, (1.0 + 0.15 * lines) * rows), layout="constrained")
    frames = list(np.atleast_1d(figure.subplots(rows, columns)).flat)
    for axes in frames:
        axes.axis("off")
    for axes, (caption, image) in zip(frames, images, strict=False):  # the last row may be short
        axes.imshow(image, interpolation="nearest")
        words = textwrap.wrap(caption.replace("_", " "), 15, max_lines=lines, placeholder=" …")
        axes.set_title("\n".join(words), fontsize=5.5, color=INK, pad=2)
    return _png(figure)


def examples(dataset: ImageDataset, classes: Sequence[str]) -> list[tuple[str, Image.Image]]:
    """The name and the first readable image of each class."""
    position = {name: label for label, name in enumerate(dataset.classes)}
    found = []
    for name in classes:
        for index in np.flatnonzero(dataset.labels == position[name])[:5]:
            try:
                found.append((name, dataset.image(int(index), 96).resize((96, 96))))
                break
            except UnreadableImage:
                continue
    return found


def _frame(height: float, x: str, y: str) -> tuple[Figure, Axes]:
    """An empty plot of the page's width with its labels; the height is in inches."""
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
