"""TransRate: how many more bits all features take than those of each class.

Source: Huang et al., "Frustratingly Easy Transferability Estimation", ICML 2022; the coding rate: Ma et al., TPAMI
2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.grouping import padded_classes

#: ε of the authors' code, where it is the squared distortion.
EPSILON = 1e-4


def transrate(features: ArrayLike, labels: ArrayLike, *, epsilon: float = EPSILON) -> float:
    """R(Z) − Σ_c (n_c/N)·R(Z_c) with the coding rate R(Z) = ½·log det(I + ZᵀZ / (N·ε)).

    Features are centred on their mean over all images, and scaled so that their squared length is 1 on average: ε is
    then a share of the total variance, and networks of different scales can be compared. The features of a class keep
    that centre. Classes weigh as much as they have images, which for equal ones is the mean over the classes.

    Args:
        features: (N, D).
        labels: (N,) integers, of at least two classes.
        epsilon: ε, positive.

    Returns:
        Nats, at least 0; a higher one promises better transfer. It grows with the width, and where classes have
        fewer images than features.

    Raises:
        ValueError: Features or labels are malformed, or ``epsilon`` is not positive.
    """
    rows = checked_features(features)
    places, counts = checked_labels(labels, len(rows))
    if not 0 < epsilon < np.inf:
        raise ValueError(f"epsilon must be positive, got {epsilon}")
    rows = rows - rows.mean(axis=0)
    length = np.sqrt(np.einsum("nd,nd->", rows, rows) / len(rows))
    if not length > 0:
        return 0.0
    rows /= length
    rates = np.empty(len(counts))
    for classes, padded in padded_classes(rows, places, counts):
        rates[classes] = _coding_rates(padded, counts[classes], epsilon)
    whole = _coding_rates(rows[None], np.array([len(rows)]), epsilon)[0]
    return max(0.0, float(whole - counts @ rates / len(rows)))  # it is not negative: log det is concave


def _coding_rates(rows: NDArray[np.float64], counts: NDArray[np.int64], epsilon: float) -> NDArray[np.float64]:
    """½·log det(I + ZᵀZ / (n·ε)) of several sets, by the smaller of ZᵀZ and Z·Zᵀ, whose determinants agree.

    Args:
        rows: (B, n, D); rows of zeros change nothing.
        counts: (B,) images of each set.
        epsilon: ε.
    """
    turned = rows.transpose(0, 2, 1)
    gram = rows @ turned if rows.shape[1] <= rows.shape[2] else turned @ rows
    gram /= (counts * epsilon)[:, None, None]
    gram[:, np.arange(gram.shape[1]), np.arange(gram.shape[1])] += 1
    return 0.5 * np.linalg.slogdet(gram).logabsdet
