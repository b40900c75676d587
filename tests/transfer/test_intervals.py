"""Wilson's interval by its own equation."""

from __future__ import annotations

import math

import pytest

from transfer.intervals import wilson


@pytest.mark.parametrize(("correct", "images"), [(90, 100), (5, 10), (500, 500), (0, 7), (1, 3)])
def test_the_interval_is_wilsons(correct, images):
    """Equation 4 of Wilson, J. Am. Stat. Assoc. 1927, with z of 95 %."""
    z, p = 1.959963984540054, correct / images
    middle = (p + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(p * (1 - p) / images + z**2 / (4 * images**2))
    assert wilson(correct, images) == pytest.approx((middle - half, middle + half), abs=1e-12)
