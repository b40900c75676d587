"""γ on the scale of the features: what a similarity of one half means.

exp(−γ·EMD) has no unit, EMD has that of the features. The paper's γ = 0.01 fits raw ResNet-101 features; on points of
length 1 every similarity would lie above 0.98. The calibrated γ = ln 2 / d takes its scale d from the target
alone: d is the mean distance between the classes of two of its images that are of different classes, so

    similarity 0.5 = as far from the target as the target's classes are from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from similarity.distance import mean_distances
from similarity.transport import GAMMA


@dataclass(frozen=True)
class Gamma:
    """γ of a ranking and where it comes from.

    Attributes:
        value: γ, in one over the unit of the geometry.
        meaning: What a similarity of 0.5 stands for, to end a sentence with.
    """

    value: float
    meaning: str


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
        return Gamma(np.log(2) / spread, f"as far as the target's classes are from each other ({spread:.4g})")
    spread = class_spread(np.concatenate(source_points), np.concatenate(source_counts))
    if spread > 0:
        return Gamma(
            np.log(2) / spread,
            f"as far as the sources' classes are from each other ({spread:.4g}); the target's do not differ",
        )
    return given_gamma(GAMMA)


def class_spread(points: NDArray[np.floating], counts: NDArray[np.number]) -> float:
    """Mean distance between two classes: Σ_{i≠j} w_i w_j ‖x_i − x_j‖ / Σ_{i≠j} w_i w_j, w the counts.

    >>> class_spread(np.array([[0.0], [3.0]]), np.array([1, 1]))
    3.0
    >>> class_spread(np.array([[0.0]]), np.array([5]))
    0.0
    """
    share = np.asarray(counts, dtype=np.float64) / np.sum(counts, dtype=np.float64)
    different = 1 - float(share @ share)
    if len(points) < 2 or different <= 0:
        return 0.0
    return float(share @ mean_distances(points, points, share)) / different
