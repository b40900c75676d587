"""Names beside the points of a map, of which none covers another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Half of the side of a point, and the gap between it and its name.
_POINT, _GAP = 4.0, 7.0


@dataclass(frozen=True)
class Side:
    """Where the name of a point stands: right (1) or left (−1) of it, and how far above it, below if negative."""

    across: int
    up: float


def place_names(points: ArrayLike, widths: Sequence[float], height: float, others: ArrayLike = ()) -> list[Side | None]:
    """Choose a side for the name of each point, so that names cover neither each other nor a point.

    Names are placed one after the other, each on the first free side, those towards the middle of the map first. They
    cover nothing on a map that is wider than this one either.

    Args:
        points: (N, 2) places of the points, upwards positive, in the unit of ``widths`` and ``height``.
        widths: (N,) widths of the names.
        height: Height of a name.
        others: (M, 2) places of points without a name.

    Returns:
        The side of each name; None for a name without a free side, which is left out.
    """
    places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    # Boxes as (left, right, bottom, top, place of the point across).
    every = np.concatenate([places, np.asarray(others, dtype=np.float64).reshape(-1, 2)])
    taken = [(x - _POINT, x + _POINT, y - _POINT, y + _POINT, x) for x, y in every]
    middle = places[:, 0].mean() if len(places) else 0.0
    found: list[Side | None] = []
    for (x, y), width in zip(places, widths, strict=True):
        inwards = 1 if x <= middle else -1
        chosen = None
        for across in (inwards, -inwards):
            for up in (0.0, 0.5 * height, -0.5 * height, height, -height):
                near, far = x + across * _GAP, x + across * (_GAP + width)
                box = (min(near, far), max(near, far), y + up - height / 2, y + up + height / 2, x)
                if chosen is None and not any(_overlap(box, other) for other in taken):
                    chosen = Side(across, up)
                    taken.append(box)
        found.append(chosen)
    return found


def sides_of_names(
    points: Sequence[Mapping[str, Any]],
    named: Sequence[Mapping[str, Any]],
    size: NDArray[np.float64],
    widths: Sequence[float],
    height: float,
) -> list[Side | None]:
    """:func:`place_names` of some of the points of a map that fill a rectangle.

    Args:
        points: Mappings with ``x`` and ``y``.
        named: Those of them that have a name.
        size: (2,) width and height of the rectangle, in the unit of ``widths`` and ``height``.
        widths, height: As in :func:`place_names`.
    """
    every = np.array([[one["x"], one["y"]] for one in points], dtype=np.float64).reshape(-1, 2)
    low, reach = every.min(axis=0), np.maximum(np.ptp(every, axis=0), 1e-9)
    with_name = {id(one) for one in named}
    places = {id(one): row for one, row in zip(points, (every - low) / reach * size, strict=True)}
    others = [row for one, row in places.items() if one not in with_name]
    return place_names([places[id(one)] for one in named], widths, height, others)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes overlap here or on a wider map, on which the points drift apart and boxes keep their widths."""
    left, right = (one, other) if (one[4], one[0]) <= (other[4], other[0]) else (other, one)
    return left[1] > right[0] and one[2] < other[3] and other[2] < one[3]
