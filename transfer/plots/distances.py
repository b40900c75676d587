"""The distances of source domains to a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from transfer.plots.style import ACCENT, MAIN, QUIET, WIDTH, frame, legend_below, name_rows

#: What the axis says of each distance.
_MEANING = {"nearest_class_distance": "mean distance to the nearest source class", "emd": "Earth Mover's Distance"}


def domains_plot(
    domains: Sequence[Mapping[str, Any]], by: str = "nearest_class_distance", *, width: float = WIDTH
) -> Figure:
    """The distance of each source domain to the target, nearest first, with its 95 % interval.

    A hollow dot is the distance of the class means as they were measured, the plug-in distance. A filled one is the
    estimate less sampling noise; it is missing, with its interval, where noise alone explains the distance. The nearest
    domain is coloured.

    Args:
        domains: ``domains`` of ``transfer rank --json``, or of ``Ranking.to_json()``.
        by: ``nearest_class_distance`` or ``emd``.
        width: Inches.
    """
    if by not in _MEANING:
        raise ValueError(f"by must be one of {', '.join(_MEANING)}, got {by!r}")
    figure, axes = frame(0.36 * len(domains) + 1.3, f"{_MEANING[by]}, in units of the geometry", width=width)
    known = False
    for row, domain in enumerate(domains):
        colour, estimate = ACCENT if row == 0 else MAIN, domain.get(f"{by}_estimate")
        low, high = domain.get(f"{by}_interval") or (None, None)
        if estimate is not None and low is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=2)
        if estimate is not None:
            axes.plot([estimate], [row], "o", color=colour, markersize=7)
            known = True
    axes.plot([domain[by] for domain in domains], range(len(domains)), "o", color=QUIET, mfc="none", label="measured")
    if known:
        axes.plot([], [], "o-", color=MAIN, label="less sampling noise, with 95 % interval")
    name_rows(axes, [str(domain["source"]) for domain in domains], width)
    axes.grid(axis="x", alpha=0.3)
    legend_below(figure, 2 if width >= 5 else 1)
    return figure
