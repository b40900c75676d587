"""A choice of source classes: its curve, whom each class serves, and where the classes lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from similarity.selection.curve import SelectionCurve
from transfer.plots.labels import sides_of_names
from transfer.plots.style import (
    ACCENT,
    INK,
    MAIN,
    NAMED,
    QUIET,
    WIDTH,
    annotate,
    frame,
    legend,
    legend_below,
    shortened,
    thinned,
)

#: What is drawn of each kind of point of a map: colour, marker, area in square points, and its name.
KINDS = {
    "source": (QUIET, "o", 12, "other source classes"),
    "chosen": (MAIN, "s", 26, "chosen source classes"),
    "target": (ACCENT, "^", 40, "target classes"),
}
#: What a curve shows: its axis, and its two lines.
COVERED, SHARE, GAIN = "where all source classes give 100, %", "share of the target served", "gain in nearness"
#: Points of a map up to which each target class has its name beside it.
NAMED_POINTS = 15


def curve_plot(curve: SelectionCurve, chosen: int | None = None, *, width: float = WIDTH) -> Figure:
    """How much of the target a choice covers, by its number of classes, with the knee.

    Covered is the share that the classes serve, and the gain in the mean distance to the nearest chosen class, from
    that of the first class alone (0 %) to that of all source classes (100 %). Beyond the knee, a class adds less than
    the average class does.

    Args:
        curve: One of :func:`similarity.selection_curves`.
        chosen: Number of classes that were chosen, which is marked.
        width: Inches.
    """
    figure, axes = frame(3.0, "chosen classes", COVERED, width)
    shown = thinned(len(curve.distance))
    axes.plot(shown + 1, 100 * curve.gain[shown], "--", color=MAIN, label=GAIN)
    if curve.share is not None:
        axes.plot(shown + 1, 100 * curve.share[shown], "-", color=ACCENT, label=SHARE)
    height = 100 * curve.covered
    marks = [(curve.knee, "D", f"knee: {curve.knee:,} classes")]
    if chosen is not None and chosen <= len(height):
        marks.append((chosen, "o", f"chosen: {chosen:,} classes"))
    for place, marker, text in marks:
        axes.plot([place], [height[place - 1]], marker, color=INK, label=text, markersize=7, mfc="none", mew=1.8)
    axes.set_ylim(-3, 103)
    axes.grid(alpha=0.3)
    legend(axes, loc="lower right")
    return figure


def shares_plot(shares: ArrayLike, targets: Sequence[str], sources: Sequence[str], *, width: float = WIDTH) -> Figure:
    """Which source classes serve which target classes: the share of each target class that a source class carries.

    Args:
        shares: (T, S) shares, 0 to 1; a row may sum to less than 1.
        targets, sources: (T,) and (S,) class names, which stand along the axes if they are few.
        width: Inches.
    """
    table = 100 * np.asarray(shares)
    if table.shape != (len(targets), len(sources)):
        raise ValueError(f"shares must have shape ({len(targets)}, {len(sources)}), got {table.shape}")
    height = 1.8 + min(6.0, 0.22 * len(targets))
    figure, axes = frame(height, "source class", "target class", width)
    drawn = axes.imshow(table, cmap="cividis_r", vmin=0, aspect="auto", interpolation="nearest")
    figure.colorbar(drawn, ax=axes, label="share of the target class, %")
    if len(sources) <= NAMED:
        names = [shortened(name, 24) for name in sources]
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False, fontsize=8)
    if len(targets) <= NAMED:
        axes.set_yticks(range(len(targets)), [shortened(n, int(4 * width)) for n in targets], parse_math=False)
    return figure


def number_of(points: Sequence[Mapping[str, Any]], kind: str) -> str:
    """The classes of a kind on a map, and of how many they are if it holds a part: ``266 of 5,000``."""
    mine = [point for point in points if point["kind"] == kind]
    total = mine[0].get("of", len(mine)) if mine else 0
    return f"{len(mine):,}" if len(mine) == total else f"{len(mine):,} of {total:,}"


def name_of(points: Sequence[Mapping[str, Any]], kind: str) -> str:
    """What the classes of a kind on a map are called: without a chosen class, there are no *other* source classes."""
    name = KINDS[kind][3]
    return name if any(point["kind"] == "chosen" for point in points) else name.removeprefix("other ")


def map_plot(points: Sequence[Mapping[str, Any]], *, width: float = WIDTH) -> Figure:
    """Source and target classes in the plane; chosen source classes are marked, and a few target classes named.

    Args:
        points: Mappings with ``x``, ``y``, ``class`` and ``kind``, which is ``source``, ``chosen`` or ``target``, as
            :func:`transfer.class_map.class_map` gives them. With ``of``, the number of classes of a kind, the legend
            says how many of them are drawn.
        width: Inches.
    """
    figure, axes = frame(0.75 * width, width=width)
    for kind, (colour, marker, area, _) in KINDS.items():
        mine = [point for point in points if point["kind"] == kind]
        if not mine:
            continue
        x, y = ([point[axis] for point in mine] for axis in ("x", "y"))
        axes.scatter(
            x, y, s=area, c=colour, marker=marker, linewidths=0, alpha=0.45 if kind == "source" else 0.9,
            label=f"{name_of(points, kind)} ({number_of(points, kind)})", rasterized=len(mine) > 500,
        )  # fmt: skip
    targets = [point for point in points if point["kind"] == "target"]
    if len(targets) <= NAMED_POINTS:
        _name(axes, targets, points, width)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    legend_below(figure, 3 if width >= 5 else 1)
    return figure


def _name(axes: Axes, targets: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]], width: float) -> None:
    """Name the target classes beside their points, where a name covers nothing else."""
    inner = 72 * 0.85 * np.array([width, 0.6 * width])  # points of the part of the figure that has the marks
    names = [shortened(str(one["class"]), 24) for one in targets]
    sides = sides_of_names(points, targets, inner, [4.6 * len(name) for name in names], height=10.0)
    for name, one, side in zip(names, targets, sides, strict=True):
        if side is not None:
            where = {"ha": "left" if side.across > 0 else "right", "va": "center"}
            annotate(axes, name, (one["x"], one["y"]), (6 * side.across, side.up), color=INK, **where)
