"""Intervals of a share of images."""

from __future__ import annotations

from scipy.stats import binomtest


def wilson(correct: int, images: int) -> tuple[float, float]:
    """The 95 % interval of the share ``correct`` / ``images`` by the score of Wilson (J. Am. Stat. Assoc. 1927).

    It takes the images for independent draws; ``images`` is at least 1.

    >>> [round(end, 3) for end in wilson(90, 100)]
    [0.826, 0.945]
    """
    found = binomtest(correct, images).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)
