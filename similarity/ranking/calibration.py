"""Calibration of γ: the distance at which the similarity exp(−γ·EMD) is one half.

The EMD has the unit of the features, so γ needs their scale. The paper's γ = 0.01 suits raw ResNet-101 features; for
points of length 1 every similarity would exceed 0.98. The calibrated γ = ln 2 / d depends on the target alone: d is the
mean distance between its classes. A source at similarity 0.5 is as far from the target as these are from each other.

Sampling noise biases d upwards, as it does the EMD. The similarity of the plug-in EMD therefore uses the plug-in d,
and the interval of a similarity, which corrects the EMD for noise, uses a d corrected for noise. The interval does not
include the uncertainty of d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from similarity.distances import pairwise_distances, shares
from similarity.transport.earth_movers_distance import GAMMA
from similarity.uncertainty.interval import signed_root, without_noise
from similarity.uncertainty.sampling_error import MeanCloud

#: Most classes whose pairwise distances are computed; a random sample represents more.
_MOST_CLASSES = 10_000
#: Rows of one block of the distance matrix.
_ROWS = 1_000


@dataclass(frozen=True)
class Gamma:
    """γ of a ranking and its origin.

    Attributes:
        value: γ, in units of 1 / distance.
        meaning: The distance at which the similarity is 0.5, in words that end a sentence.
        spread_of: Whose classes it is calibrated on; None if it was given.
    """

    value: float
    meaning: str
    spread_of: Literal["target", "sources"] | None = None


def given_gamma(value: float) -> Gamma:
    """A γ of the user's choice."""
    return Gamma(value, f"an EMD of {np.log(2) / value:.4g}")


def calibrated_gamma(
    target_points: NDArray[np.floating],
    target_counts: NDArray[np.number],
    source_points: Sequence[NDArray[np.floating]],
    source_counts: Sequence[NDArray[np.number]],
) -> Gamma:
    """γ = ln 2 / d, where d is the mean distance between the target's classes: see :func:`class_spread`.

    If d is 0 (one class, or equal means), d is that of the classes of all sources together. If that is 0 too, γ is the
    paper's. Points (T, D) and (S, D) are of a geometry; counts (T,) and (S,) are the images of each class.
    """
    spread = class_spread(target_points, target_counts)
    if spread > 0:
        return Gamma(np.log(2) / spread, f"as far as the target's classes are from each other ({spread:.4g})", "target")
    spread = class_spread(np.concatenate(source_points), np.concatenate(source_counts))
    if spread > 0:
        return Gamma(
            np.log(2) / spread,
            f"as far as the sources' classes are from each other ({spread:.4g}); the target has one class, or its "
            f"classes coincide",
            "sources",
        )
    return given_gamma(GAMMA)


def gamma_without_noise(
    gamma: Gamma, clouds: Sequence[MeanCloud], counts: Sequence[NDArray[np.number]], *, unit_length: bool
) -> float | None:
    """γ with the class spread corrected for the sampling noise of the class means; None if that is not positive.

    A γ that was given stays. Clouds and the images of their classes are those of the target, then of the sources.
    """
    if gamma.spread_of is None:
        return gamma.value
    own = slice(0, 1) if gamma.spread_of == "target" else slice(1, None)
    points, noise = zip(*(without_noise(cloud, unit_length=unit_length) for cloud in clouds[own]), strict=True)
    spread = class_spread(np.concatenate(points), np.concatenate(counts[own]), np.concatenate(noise))
    return float(np.log(2) / spread) if spread > 0 else None


def class_spread(
    points: NDArray[np.floating], counts: NDArray[np.number], noise: NDArray[np.float64] | None = None
) -> float:
    """Mean distance between two classes: Σ_{i≠j} w_i w_j ‖x_i − x_j‖ / Σ_{i≠j} w_i w_j, where w are the counts.

    Points are (C, D), counts (C,). For more than 10,000 classes it is the mean over a fixed random sample of 10,000.
    The expected contribution (C,) of each point's sampling error to its squared distances, ``noise``, is subtracted,
    and the signed square root of the difference is averaged.

    >>> class_spread(np.array([[0.0], [3.0]]), np.array([1, 1]))
    3.0
    >>> class_spread(np.array([[0.0]]), np.array([5]))
    0.0
    """
    noise = np.zeros(len(points)) if noise is None else noise
    if len(points) > _MOST_CLASSES:
        drawn = np.random.default_rng(0).choice(len(points), _MOST_CLASSES, replace=False)
        points, counts, noise = points[drawn], counts[drawn], noise[drawn]
    share = shares(counts)
    different = 1 - float(share @ share)
    if len(points) < 2 or different <= 0:
        return 0.0
    total = 0.0
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        squares = pairwise_distances(points[rows], points) ** 2 - noise[rows, None] - noise
        np.fill_diagonal(squares[:, start:], 0)  # no distance of a class to itself
        total += float(share[rows] @ signed_root(squares) @ share)
    return total / different
