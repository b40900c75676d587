"""Intervals of 95 %: of a share of images, of a mean over runs, and of a difference of either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes long to import


@dataclass(frozen=True)
class Figure:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(correct: int, images: int) -> tuple[float, float]:
    """The 95 % interval of the share ``correct`` / ``images`` by the score of Wilson (J. Am. Stat. Assoc. 1927).

    It takes the images for independent draws; ``images`` is at least 1.

    >>> [round(end, 3) for end in wilson(90, 100)]
    [0.826, 0.945]
    """
    from scipy.stats import binomtest

    found = binomtest(correct, images).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def share_of(share: float, images: int) -> Figure:
    """A share of ``images``, 0 to 1, with Wilson's interval."""
    return Figure(share, *wilson(round(share * images), images))


def mean_of(values: Sequence[float]) -> Figure:
    """The mean of at least two values, with the interval of Student's t: of runs that differ in their seeds.

    >>> found = mean_of([0.7, 0.8, 0.9])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.8, 0.552, 1.048)
    """
    spread = float(stdtrit(len(values) - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return Figure(mean, mean - spread, mean + spread)


def difference_of(one: Figure, other: Figure) -> Figure:
    """The difference of two independent shares by their intervals.

    It is method 10 of Newcombe ("Interval estimation for the difference", Statistics in Medicine 17, 1998).
    Of shares of the same images it is too wide rather than too narrow.
    """
    value = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Figure(value, value - low, value + high)
