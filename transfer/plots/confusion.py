"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from transfer.plots.style import INK, NAMED, WIDTH, frame, shortened

#: Classes up to which the number of images stands in each cell.
_NUMBERED = 12


def confusion_plot(
    matrix: ArrayLike, classes: Sequence[str], *, totals: ArrayLike | None = None, width: float = WIDTH
) -> Figure:
    """The share of each class that was classified as each class: rows are true, columns are predicted.

    Args:
        matrix: (C, C) numbers of images.
        classes: (C,) class names. They stand along the axes if they are few.
        totals: (C,) images of each class, if the matrix is a part of a larger one; by default the sums of its rows.
        width: Inches.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"matrix must have a row and a column a class, {len(classes)}, got shape {counts.shape}")
    share = 100 * counts / np.maximum(counts.sum(axis=1) if totals is None else np.asarray(totals), 1)[:, None]
    named = len(classes) <= NAMED
    figure, axes = frame(width * 0.9, "predicted class", "true class", width)
    drawn = axes.imshow(share, cmap="cividis_r", vmin=0, vmax=100, interpolation="nearest")
    figure.colorbar(drawn, ax=axes, label="share of the true class, %", shrink=0.8)
    if named:
        names = [shortened(str(name), max(10, int(3.5 * width))) for name in classes]
        size = 9 if len(classes) <= 20 else 6
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False, fontsize=size)
        axes.set_yticks(range(len(names)), names, parse_math=False, fontsize=size)
    if len(classes) <= _NUMBERED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if share[row, column] > 55 else INK
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=7)
    return figure
