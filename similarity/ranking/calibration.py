"""γ on the scale of the features: what a similarity of one half means.

exp(−γ·EMD) has no unit, EMD has that of the features. The paper's γ = 0.01 fits raw ResNet-101 features; on points of
length 1 every similarity would lie above 0.98. The calibrated γ = ln 2 / d takes its scale d from the target
alone: d is the mean distance between the classes of two of its images that are of different classes, so

    similarity 0.5 = as far from the target as the target's classes are from each other.

The d of sample means is too large, as their EMD is. γ keeps it, for it goes with that EMD; the interval of a
similarity is that of an EMD without noise, and needs a γ of a d without noise. How well d is known is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from similarity.distances import pairwise_distances
from similarity.transport.earth_movers_distance import GAMMA
from similarity.uncertainty.interval import signed_root, without_noise
from similarity.uncertainty.sampling_error import MeanCloud

#: Most classes whose distances are all formed; of more, so many drawn by chance stand for all.
_MOST_CLASSES = 10_000
#: Classes whose distances to the others are formed at once.
_ROWS = 1_000


@dataclass(frozen=True)
class Gamma:
    """γ of a ranking and where it comes from.

    Attributes:
        value: γ, in one over the unit of the geometry.
        meaning: What a similarity of 0.5 stands for, to end a sentence with.
        spread_of: Whose classes it was calibrated on, None for none.
    """

    value: float
    meaning: str
    spread_of: Literal["target", "sources"] | None = None


def given_gamma(value: float) -> Gamma:
    """A γ that was asked for."""
    return Gamma(value, f"an EMD of {np.log(2) / value:.4g}")


def calibrated_gamma(
    target_points: NDArray[np.floating],
    target_counts: NDArray[np.number],
    source_points: Sequence[NDArray[np.floating]],
    source_counts: Sequence[NDArray[np.number]],
) -> Gamma:
    """γ = ln 2 / d, d the mean distance between two of the target's classes, weighted by images.

    A target of one class, or of classes that coincide, has no such distance; that of the classes of all
    sources together stands in. Where they too coincide, γ is the paper's.

    Args:
        target_points: (T, D) points of a geometry.
        target_counts: (T,) images of each class.
        source_points: (S, D) points of each source.
        source_counts: (S,) images of each class of each source.
    """
    spread = class_spread(target_points, target_counts)
    if spread > 0:
        return Gamma(np.log(2) / spread, f"as far as the target's classes are from each other ({spread:.4g})", "target")
    spread = class_spread(np.concatenate(source_points), np.concatenate(source_counts))
    if spread > 0:
        return Gamma(
            np.log(2) / spread,
            f"as far as the sources' classes are from each other ({spread:.4g}); the target's do not differ",
            "sources",
        )
    return given_gamma(GAMMA)


def gamma_without_noise(
    gamma: Gamma, clouds: Sequence[MeanCloud], counts: Sequence[NDArray[np.number]], *, unit_length: bool
) -> float | None:
    """γ of the distances that classes have without the noise of their sample means.

    Args:
        gamma: γ of the sample means.
        clouds: The target's means, then those of the sources.
        counts: Images of their classes.
        unit_length: Whether the geometry scales points to length 1.

    Returns:
        γ as it is if it was given; None where noise explains all of the distances.
    """
    if gamma.spread_of is None:
        return gamma.value
    place = slice(0, 1) if gamma.spread_of == "target" else slice(1, None)
    points, noise = zip(*(without_noise(cloud, unit_length=unit_length) for cloud in clouds[place]), strict=True)
    spread = class_spread(np.concatenate(points), np.concatenate(counts[place]), np.concatenate(noise))
    return float(np.log(2) / spread) if spread > 0 else None


def class_spread(
    points: NDArray[np.floating], counts: NDArray[np.number], noise: NDArray[np.float64] | None = None
) -> float:
    """Mean distance between two classes: Σ_{i≠j} w_i w_j ‖x_i − x_j‖ / Σ_{i≠j} w_i w_j, w the counts.

    Of more than 10,000 classes, so many of them, drawn by chance but the same ones each time.

    Args:
        points: (C, D) points of a geometry.
        counts: (C,) images of each class.
        noise: (C,) what each point adds to its squared distances by noise; they lose it, and what is below zero then
            counts as a negative distance.

    >>> class_spread(np.array([[0.0], [3.0]]), np.array([1, 1]))
    3.0
    >>> class_spread(np.array([[0.0]]), np.array([5]))
    0.0
    """
    noise = np.zeros(len(points)) if noise is None else noise
    if len(points) > _MOST_CLASSES:
        drawn = np.random.default_rng(0).choice(len(points), _MOST_CLASSES, replace=False)
        points, counts, noise = points[drawn], counts[drawn], noise[drawn]
    share = np.asarray(counts, dtype=np.float64) / np.sum(counts, dtype=np.float64)
    different = 1 - float(share @ share)
    if len(points) < 2 or different <= 0:
        return 0.0
    total = 0.0
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        squares = pairwise_distances(points[rows], points) ** 2 - noise[rows, None] - noise
        np.fill_diagonal(squares[:, start:], 0)  # a class and itself
        total += float(share[rows] @ signed_root(squares) @ share)
    return total / different
