"""The maximum mean discrepancy (Gretton et al., "A Kernel Two-Sample Test", JMLR 2012) under a Gaussian kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from similarity.distances import pairwise_distances
from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_features
from similarity.measures.evidence import Evidence
from similarity.measures.sampling import MOST_IMAGES, sample

#: Most images whose pairwise distances determine the bandwidth.
_BANDWIDTH_IMAGES = 1_000
#: Rows of one block of the kernel matrix.
_ROWS = 1_000


def median_distance(features: ArrayLike, *, seed: int = 0) -> float:
    """The bandwidth by the median heuristic: the median distance above 0 between two images.

    Args:
        features: (N, D); a random sample of 1,000 images of larger sets.
        seed: Seed of the random sample.

    Returns:
        A positive number in units of the features; 1 if all images have equal features.

    Raises:
        ValueError: The features are not a finite matrix.
    """
    rows = checked_features(features)
    rows = rows[sample(rows, _BANDWIDTH_IMAGES, seed)]
    distances = pairwise_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def mmd(
    features: ArrayLike, other: ArrayLike, *, bandwidth: float | None = None, most: int = MOST_IMAGES, seed: int = 0
) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy.

        MMD² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2·mean_{ij} k(x_i, y_j)

    with k(x, y) = exp(−‖x − y‖² / 2σ²) (Gretton et al., equation 3).

    Args:
        features, other: (N, D) and (M, D), of at least two images each.
        bandwidth: σ in units of the features, positive. None takes the median distance of both sets together
            (Gretton et al.). Values with different σ are not comparable: give one σ to compare several sets.
        most: Most images of each side, at least 2; a random sample of larger sets, whose error falls as 1/√most.
        seed: Seed of the random sample.

    Returns:
        At most 2, without a unit. Its expectation is 0 for two samples of one distribution, so it can be negative.

    Raises:
        ValueError: A set is not a finite matrix of at least two images, widths differ, or a number is out of range.
    """
    x, y = checked_features(features), checked_features(other, "other")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"features and other must have one width, got {x.shape[1]} and {y.shape[1]}")
    if min(len(x), len(y), most) < 2:
        raise ValueError(f"features, other and most must be at least 2 images, got {len(x)}, {len(y)} and {most}")
    x, y = x[sample(x, most, seed)], y[sample(y, most, seed)]
    sigma = median_distance(np.concatenate([x, y]), seed=seed) if bandwidth is None else bandwidth
    if not 0 < sigma < np.inf:
        raise ValueError(f"bandwidth must be positive, got {sigma}")
    # k(x_i, x_i) is exactly 1, because the distance is exactly 0.
    within = [(_kernel_sum(z, z, sigma) - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return float(sum(within) - 2 * _kernel_sum(x, y, sigma) / (len(x) * len(y)))


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64], bandwidth: float) -> float:
    """Σ_ij k(x_i, y_j), computed in blocks of rows."""
    blocks = (pairwise_distances(x[start : start + _ROWS], y) / bandwidth for start in range(0, len(x), _ROWS))
    return float(sum(np.exp(-0.5 * np.square(block)).sum() for block in blocks))


def _mmd(evidence: Evidence) -> float:
    source, _ = evidence.source_sample
    target = evidence.images.features
    if min(len(source), len(target)) < 2:
        one = evidence.given_source if len(source) < 2 else evidence.target
        raise InputError(f"{one.name}: keeps one image only, which has no spread; give at least two")
    # σ depends on the target alone, so that the values of all its sources are comparable.
    return mmd(source, target, bandwidth=median_distance(target, seed=evidence.seed), seed=evidence.seed)


MMD = Measure(
    name="mmd",
    meaning="squared maximum mean discrepancy of the images under a Gaussian kernel (Gretton et al. 2012)",
    needs=frozenset({"source", "source images", "target images"}),
    direction="lower",
    compares="sources",
    function=_mmd,
    place=0,
)
