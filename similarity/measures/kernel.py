"""Two sets of images under a Gaussian kernel: the maximum mean discrepancy.

Source: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.distances import pairwise_distances
from similarity.measures.checks import checked_features
from similarity.measures.sampling import sample

#: Images of each side at most.
MOST_IMAGES = 5_000
#: Images whose distances to each other give the bandwidth.
_BANDWIDTH_IMAGES = 1_000
#: Rows of a block of the kernel matrix.
_ROWS = 1_000


def median_distance(features: ArrayLike, *, seed: int = 0) -> float:
    """The median-heuristic bandwidth: the median distance between two different images.

    Images that coincide are left out of the median, which would be 0 where most of them do.

    Args:
        features: (N, D). Of more than 1,000, so many drawn by chance.
        seed: Of the draw.

    Returns:
        A positive number in units of the features; 1 where all images coincide, and any will do.

    Raises:
        ValueError: The features are no finite matrix.
    """
    rows = checked_features(features)
    rows = rows[sample(rows, _BANDWIDTH_IMAGES, seed)]
    distances = pairwise_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def mmd(
    features: ArrayLike,
    other: ArrayLike,
    *,
    bandwidth: float | None = None,
    most: int = MOST_IMAGES,
    seed: int = 0,
) -> float:
    """Squared maximum mean discrepancy, estimated without bias.

        MMD² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2·mean_{ij} k(x_i, y_j)

    with k(x, y) = exp(−‖x − y‖² / 2σ²) (Gretton et al., JMLR 2012, equation 3).

    Args:
        features: (N, D) image features, at least two.
        other: (M, D), at least two.
        bandwidth: σ in units of the features, positive. None takes the median distance of both sets together
            (Gretton et al.); values of different σ are not to be compared, so give one where several are.
        most: Images of each side at most, at least 2; of more, so many drawn by chance. The error that adds falls
            as 1/√most.
        seed: Of the draw.

    Returns:
        At most 2, without a unit. Without bias it is 0 on average for two samples of one distribution, so it may be
        negative.

    Raises:
        ValueError: A set is no finite matrix of at least two images, widths differ, or a number is out of its range.
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
    # An image and itself have the kernel 1, exactly: their distance is exactly 0.
    within = [(_kernel_sum(z, z, sigma) - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return float(sum(within) - 2 * _kernel_sum(x, y, sigma) / (len(x) * len(y)))


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64], bandwidth: float) -> float:
    """Σ_ij k(x_i, y_j), a block of rows at a time."""
    blocks = (pairwise_distances(x[start : start + _ROWS], y) / bandwidth for start in range(0, len(x), _ROWS))
    return float(sum(np.exp(-0.5 * np.square(block)).sum() for block in blocks))
