"""Names of a map cover neither each other nor a point."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from transfer.plots.labels import place_names

HEIGHT = 12.0


def boxes(points, widths, sides):
    for (x, y), width, side in zip(points, widths, sides, strict=True):
        if side is not None:
            ends = sorted((x + side.across * 7, x + side.across * (7 + width)))
            yield ends[0], ends[1], y + side.up - HEIGHT / 2, y + side.up + HEIGHT / 2


def apart(one, other):
    return one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


@pytest.mark.parametrize("scale", [30, 300])
def test_names_cover_nothing_on_this_map_and_on_a_wider_one(scale):
    rng = np.random.default_rng(0)
    points, others = rng.random((15, 2)) * scale, rng.random((10, 2)) * scale
    widths = rng.uniform(30, 110, 15)
    sides = place_names(points, widths, HEIGHT, others)
    assert any(side is not None for side in sides)
    for stretch in (1.0, 2.0):
        placed = list(boxes(points * [stretch, 1], widths, sides))
        assert all(apart(one, other) for one, other in combinations(placed, 2))
        marks = [(x * stretch - 4, x * stretch + 4, y - 4, y + 4) for x, y in (*points, *others)]
        assert all(apart(box, mark) for box in placed for mark in marks)


def test_a_name_stands_beside_a_point_that_is_alone_and_none_in_a_crowd():
    (alone,) = place_names([[5.0, 5.0]], [40.0], HEIGHT)
    assert (alone.across, alone.up) == (1, 0.0)
    crowd = [[10.0 + 8 * i, 8.0 * j] for i in range(-9, 10) for j in range(-9, 10) if (i, j) != (0, 0)]
    assert place_names([[10.0, 0.0]], [40.0], HEIGHT, crowd) == [None]
