"""GBC: how much the classes of the target overlap as Gaussians.

Source: Pándy et al., "Transferability Estimation using Bhattacharyya Class Separability", CVPR 2022.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.distances import pairwise_distances
from similarity.measures.checks import checked_features
from similarity.measures.gaussian import total_moments

#: Principal components of the paper. In all directions of a network's features every two classes are so far from each
#: other that the overlap is a handful of digits around 1e-50.
COMPONENTS = 64
#: Least variance of a class, relative to the mean of all: images that coincide would make a class a point, and two
#: classes that lie at one place would not overlap.
_LEAST_VARIANCE = 1e-6
#: Entries of one block of pairs (float64: 32 MiB).
_BLOCK = 1 << 22


def gbc(means: ArrayLike, variances: ArrayLike, *, spherical: bool = True) -> float:
    """Minus the Bhattacharyya overlap of all pairs of classes: −Σ_{i≠j} exp(−D_B(i, j)).

    With v = (v_i + v_j)/2, each feature adds ⅛·(m_i − m_j)²/v + ½·log(v / √(v_i·v_j)) to the distance D_B.

    Args:
        means: (C, D) means of at least two classes.
        variances: (C, D) variances, not negative and not all 0.
        spherical: Whether a class has the mean of its variances in every direction (the paper's choice); False takes
            each feature's own.

    Returns:
        −C·(C − 1) to 0, every pair counted twice as in the paper, without a unit; a higher one promises better
        transfer.

    Raises:
        ValueError: Shapes do not fit, there is one class, a value is not finite, or the variances are negative or
            all 0.
    """
    m, v = checked_features(means, "means"), checked_features(variances, "variances")
    if m.shape != v.shape or len(m) < 2:
        raise ValueError(f"means and variances must be (C, D) of at least 2 classes, got {m.shape} and {v.shape}")
    if (v < 0).any() or not v.any():
        raise ValueError(f"variances must not be negative, and not all 0, got {v.min():.3g} to {v.max():.3g}")
    width = m.shape[1]
    if spherical:
        v = v.mean(axis=1, keepdims=True)
    v = np.maximum(v, _LEAST_VARIANCE * v.mean())
    step = max(1, _BLOCK // (len(m) * v.shape[1]))
    total = 0.0
    for start in range(0, len(m), step):
        rows = slice(start, start + step)
        mean_variance = (v[rows, None] + v) / 2
        shape = 0.5 * (np.log(mean_variance) - 0.5 * (np.log(v[rows, None]) + np.log(v))).sum(axis=2)
        if spherical:
            distances = np.square(pairwise_distances(m[rows], m)) / (8 * mean_variance[..., 0]) + width * shape
        else:
            distances = (np.square(m[rows, None] - m) / mean_variance).sum(axis=2) / 8 + shape
        np.fill_diagonal(distances[:, start:], np.inf)  # a class and itself
        total += float(np.exp(-distances).sum())
    return -total


def principal_gaussians(
    bank: FeatureBank, components: int = COMPONENTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The classes of a bank as Gaussians in its first principal components, from its class statistics.

    The components are those of the covariance of all images. A bank knows the shape of one covariance only, that of
    all classes together; each class has it, scaled to the class's own variance without bias. A class of one image,
    which shows none, has that of all.

    Args:
        bank: Any bank; no images are needed.
        components: How many at most.

    Returns:
        (C, K) means and (C, K) variances, K the lesser of ``components`` and the width.

    Raises:
        InputError: No class of the bank varies: there is one image a class.
    """
    counts = bank.counts.astype(np.float64)
    own, several = bank.variances.sum(axis=1, dtype=np.float64), bank.counts > 1
    if not own[several].any():
        raise InputError(
            f"{bank.name}: the images of a class do not vary, so nothing tells how far its class reaches; "
            f"extract at least two images a class"
        )
    own = own * counts / np.maximum(counts - 1, 1)
    mean = float(own[several] @ (counts[several] - 1)) / float((counts[several] - 1).sum())
    size = np.where(several, own / mean, 1.0)
    centre, covariance = total_moments(bank)
    directions = np.linalg.eigh(covariance)[1][:, ::-1][:, :components]
    within = bank.within_covariance.astype(np.float64)
    shape = np.einsum("dk,dk->k", directions, within @ directions)
    shape *= mean / max(float(np.trace(within)), np.finfo(np.float64).tiny)
    return (bank.means - centre) @ directions, size[:, None] * np.maximum(shape, 0)
