"""What the plots have in common: colours, the frame, and names that are drawn as they are."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from numpy.typing import NDArray

from features.infrastructure.names import as_text

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it warns about every missing fallback font

#: Inches of a figure of the width of a page.
WIDTH = 7.0
#: Text, what is compared, what stands out, and what is in the background. Those of data are from the palette of Okabe
#: and Ito ("Color universal design", 2008), which people without full colour vision tell apart.
INK, MAIN, ACCENT, QUIET = "#1f2937", "#0072B2", "#D55E00", "#6b7280"
#: Colours and lines of several series: colours repeat with another line.
COLOURS = (MAIN, ACCENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
LINES = ("-", "--", ":", "-.")
#: Points of a line at most: a page holds each of them.
_POINTS = 2000
#: Class names that fit along an axis.
NAMED = 40


#: Inches of a line of a legend, and characters of a label in an inch.
_LEGEND_LINE, _LETTERS = 0.17, 11


def frame(height: float, x: str = "", y: str = "", width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty plot with its labels; width and height are in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    style(axes, x, y, width, height)
    return figure, axes


def style(axes: Axes, x: str, y: str, width: float, height: float) -> None:
    """Label axes of so many inches, in lines that fit, and take away what carries no data."""
    axes.set_xlabel(textwrap.fill(x, int(_LETTERS * width)), parse_math=False)
    axes.set_ylabel(textwrap.fill(y, int(_LETTERS * height)), parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)


def name_rows(axes: Axes, names: Sequence[str], width: float = WIDTH) -> None:
    """Name the rows 0, 1, … of a plot, from the top down.

    The label of the axis below is flush with its right end if it is wider than the plot that the names leave.
    """
    longest = max(12, int(6 * width))  # characters that leave more than half of the width to the plot
    drawn = [shortened(name, longest) for name in names]
    axes.set_yticks(range(len(names)), drawn, parse_math=False)
    label = axes.get_xlabel()
    if max(map(len, label.split("\n"))) + max(map(len, drawn)) > _LETTERS * width:
        axes.set_xlabel(label, loc="right", parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)


def thinned(number: int) -> NDArray[np.int64]:
    """At most :data:`_POINTS` of the positions 0 to ``number`` − 1 of a line, denser at its beginning."""
    if number <= _POINTS:
        return np.arange(number)
    return np.unique(np.geomspace(1, number, _POINTS).round().astype(np.int64)) - 1


def legend(axes: Axes, loc: Literal["best", "lower right"] = "best") -> None:
    """Add a legend within the axes, whose names are drawn as they are."""
    _literal(axes.legend(loc=loc, frameon=False, fontsize=8))


def legend_below(figure: Figure, columns: int = 1) -> None:
    """Add a legend below the axes and their labels; a figure grows with the lines of its legend after the first."""
    handles, _ = figure.axes[0].get_legend_handles_labels()
    lines = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + _LEGEND_LINE * (lines - 1))
    _literal(figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=columns))


def _literal(found: Legend) -> None:
    for text in found.get_texts():
        text.set_parse_math(False)


def annotate(axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **options: Any) -> Text:
    """Write a text beside a point of the data; the offset is in points."""
    return axes.annotate(text, at, xytext=offset, textcoords="offset points", fontsize=8, parse_math=False, **options)


def shortened(name: str, length: int = 40) -> str:
    """A name of at most ``length`` characters that can be drawn; a longer one loses its middle, for ends differ most.

    >>> shortened("Yellow_headed_Blackbird", 12)
    'Yellow…kbird'
    """
    name = as_text(name)
    if len(name) <= length:
        return name
    kept = length - 1
    return f"{name[: kept - kept // 2]}…{name[len(name) - kept // 2 :]}"
