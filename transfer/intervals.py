"""Intervals of 95 %: of a share of images, of a mean over runs, and of a difference of either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes long to import


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


def percent(share: float) -> str:
    """A share in percent; halves are rounded up, however the share was computed.

    >>> percent(0.8149), percent(0.6125), percent(0.6125 - 1e-12)
    ('81.5', '61.3', '61.3')
    """
    return str(_percent(share))


def points(difference: float) -> str:
    """A difference of two shares in points, with its sign.

    >>> points(0.0912), points(-0.0308), points(-0.0004)
    ('+9.1', '−3.1', '0.0')
    """
    found = _percent(difference)
    return f"{found:+}".replace("-", "−") if found else "0.0"


def _percent(share: float) -> Decimal:
    return Decimal(repr(round(100 * float(share), 9))).quantize(Decimal("0.1"), ROUND_HALF_UP)


def wilson(correct: int, images: int) -> tuple[float, float]:
    """The 95 % interval of the share ``correct`` / ``images`` by the score of Wilson (J. Am. Stat. Assoc. 1927).

    It takes the images for independent draws; ``images`` is at least 1.

    >>> [round(end, 3) for end in wilson(90, 100)]
    [0.826, 0.945]
    """
    from scipy.stats import binomtest

    found = binomtest(correct, images).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def share_of(share: float, images: int) -> Estimate:
    """A share of ``images``, 0 to 1, with Wilson's interval."""
    return Estimate(share, *wilson(round(share * images), images))


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean of at least two values, with the interval of Student's t: of runs that differ in their seeds.

    >>> found = mean_of([0.7, 0.8, 0.9])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.8, 0.552, 1.048)
    """
    spread = float(stdtrit(len(values) - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return Estimate(mean, mean - spread, mean + spread)


def difference_of(one: Estimate, other: Estimate) -> Estimate:
    """The difference of two independent shares by their intervals.

    It is method 10 of Newcombe ("Interval estimation for the difference", Statistics in Medicine 17, 1998).
    Of shares of the same images it is too wide rather than too narrow.
    """
    value = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, value - low, value + high)
