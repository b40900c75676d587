"""The sizes of the classes of datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from finetune.evaluation.metrics import FEW, MANY
from transfer.plots.style import (
    COLOURS,
    INK,
    LINES,
    MAIN,
    NAMED,
    QUIET,
    WIDTH,
    annotate,
    frame,
    legend_below,
    name_rows,
    shortened,
    thinned,
)


def counts_plot(
    counts: Mapping[str, ArrayLike], classes: Sequence[str] | None = None, *, width: float = WIDTH
) -> Figure:
    """Images of each class of one or several datasets, the largest class first.

    Dotted lines are the borders of many, medium and few. With ``classes``, a dataset of few classes has a bar each.

    Args:
        counts: Name of a dataset → (C,) images of each class.
        classes: (C,) class names; of one dataset only.
        width: Inches.

    Raises:
        ValueError: There is no dataset or class, or class names are given that are not of one dataset.
    """
    ordered = {name: np.sort(np.asarray(found))[::-1] for name, found in counts.items()}
    if not ordered or not all(len(found) for found in ordered.values()):
        raise ValueError("counts must hold at least one dataset, and each at least one class")
    if classes is not None:
        name, given = next((name, np.asarray(found)) for name, found in counts.items())
        if len(counts) > 1 or len(classes) != len(given):
            raise ValueError(f"classes must name the classes of one dataset, got {len(classes)} names")
        if len(classes) <= NAMED:
            return _bars(name, given, classes, width)
    figure, axes = frame(max(3.0, 2.2 + 0.2 * len(ordered)), "class, the largest first", "images of the class", width)
    longest, largest = max(map(len, ordered.values())), max(found[0] for found in ordered.values())
    for number, (name, found) in enumerate(ordered.items()):
        colour, line = COLOURS[number % len(COLOURS)], LINES[number // len(COLOURS) % len(LINES)]
        size = f": {len(found):,} classes, {found.sum():,} images"
        label = shortened(name, min(44, int(15 * width) - len(size))) + size  # a line of the legend, which is small
        shown = thinned(len(found))
        axes.plot(shown + 1, np.maximum(found[shown], 0.5), line, color=colour, label=label)
    axes.set_yscale("log")
    axes.set_ylim(0.7, 1.8 * max(largest, 1))
    for axis, most in ((axes.yaxis, largest), (axes.xaxis, longest)):
        if axis is axes.xaxis and longest < 100:
            axis.set_major_locator(MaxNLocator(integer=True))
            continue
        if axis is axes.xaxis:
            axes.set_xscale("log")
        axis.set_major_locator(LogLocator(subs=(1,) if most > 5000 else (1, 2, 5), numticks=99))
        axis.set_major_formatter(lambda value, _: f"{value:,g}")
        axis.set_minor_locator(NullLocator())
    axes.set_xlim(0.9 if longest >= 100 else 0.5, longest + 0.5)
    _borders(axes, largest, longest)
    legend_below(figure)
    return figure


def _borders(axes: Axes, largest: int, longest: int) -> None:
    for border, name in ((MANY, f"many: more than {MANY}"), (FEW, f"few: fewer than {FEW}")):
        if border < largest:
            axes.axhline(border, color=QUIET, linewidth=0.8, linestyle=":")
            above = border == MANY
            annotate(
                axes,
                name,
                (longest, border),
                (-3, 2 if above else -2),
                ha="right",
                va="bottom" if above else "top",
                color=INK,
            )


def _bars(name: str, counts: NDArray[np.int64], classes: Sequence[str], width: float) -> Figure:
    order = np.argsort(-counts, kind="stable")
    figure, axes = frame(0.2 * len(classes) + 1.0, f"images of the class in {shortened(name, 60)}", width=width)
    axes.barh(range(len(classes)), counts[order], color=MAIN, height=0.7)
    name_rows(axes, [classes[i] for i in order], width)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", alpha=0.3)
    return figure
