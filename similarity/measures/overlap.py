"""GBC (Pándy et al., "Transferability Estimation using Bhattacharyya Class Separability", CVPR 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.distances import pairwise_distances
from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_features
from similarity.measures.evidence import Evidence
from similarity.measures.gaussian import total_moments

#: Principal components, as in the paper. In the full feature space, overlaps of classes are about 1e-50.
COMPONENTS = 64
#: Lower bound of a class's variance, relative to the mean variance: identical images would make a class a point, and
#: two classes with the same mean would not overlap.
_LEAST_VARIANCE = 1e-6
#: Entries of one block of pairs (float64: 32 MiB).
_BLOCK = 1 << 22


def gbc(means: ArrayLike, variances: ArrayLike, *, spherical: bool = True) -> float:
    """Negative sum of the Bhattacharyya coefficients of all pairs of classes: −Σ_{i≠j} exp(−D_B(i, j)).

    With v = (v_i + v_j)/2, each feature adds ⅛·(m_i − m_j)²/v + ½·log(v / √(v_i·v_j)) to the distance D_B.

    Args:
        means: (C, D) means of at least two classes.
        variances: (C, D) variances, not negative and not all 0.
        spherical: Whether the variance of a class is its mean over the features (the paper's choice), or that of each
            feature.

    Returns:
        −C·(C − 1) to 0, without a unit, every pair counted twice as in the paper; higher predicts better transfer.

    Raises:
        ValueError: Shapes do not match, there is one class, a value is not finite, or the variances are negative or
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
        np.fill_diagonal(distances[:, start:], np.inf)  # no overlap of a class with itself
        total += float(np.exp(-distances).sum())
    return -total


def principal_gaussians(
    bank: FeatureBank, components: int = COMPONENTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The classes of a bank as Gaussians in its first principal components, from its class statistics.

    The components are those of the covariance of all images. A bank holds one pooled within-class covariance; each
    class has its shape, scaled to the unbiased estimate of the class's own variance. A class of one image has the
    pooled variance.

    Returns:
        (C, K) means and (C, K) variances, K = min(``components``, D).

    Raises:
        InputError: Every class has one image or identical images, or the bank is of class means alone.
    """
    if bank.variances is None or bank.within_covariance is None:
        raise InputError(f"{bank.name} holds no variances and covariance, so the overlap of its classes is unknown")
    counts = bank.counts.astype(np.float64)
    own, several = bank.variances.sum(axis=1, dtype=np.float64), bank.counts > 1
    if not own[several].any():
        raise InputError(
            f"{bank.name}: the images of a class do not vary, so the variance of a class is unknown; "
            f"extract at least two images for each class"
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


def _gbc(evidence: Evidence) -> float:
    target = evidence.target
    if len(target.classes) == 1:
        raise InputError(f"{target.name}: has one class only, which overlaps with no other; give at least two classes")
    return gbc(*principal_gaussians(target))


GBC = Measure(
    name="gbc",
    meaning="negative overlap of the classes as Gaussians in 64 principal components (Pándy et al. 2022)",
    needs=frozenset(),
    direction="higher",
    function=_gbc,
)
