"""TransRate: the coding rate of all features less that of the features of each class.

Source: Huang et al., "Frustratingly Easy Transferability Estimation", ICML 2022; the rate: Ma et al., TPAMI 2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.grouping import padded_classes

#: ε of the authors' code, which stands for the squared distortion.
EPSILON = 1e-4


def transrate(features: ArrayLike, labels: ArrayLike, *, epsilon: float = EPSILON) -> float:
    """R(Z) − Σ_c (n_c/N)·R(Z_c) with the coding rate R(Z) = ½·log det(I + ZᵀZ / (N·ε)).

    Features are centred on their mean over all images and scaled to a mean squared length of 1, so ε is a share of the
    total variance, and networks of different scales are comparable. The features of a class are not centred again.
    Each class is weighted by its number of images.

    Args:
        features: (N, D).
        labels: (N,) integers, of at least two classes.
        epsilon: ε, positive.

    Returns:
        Nats, at least 0; higher predicts better transfer. It grows with the width, and if classes have fewer images
        than features.

    Raises:
        ValueError: Features or labels are malformed, or ``epsilon`` is not positive.
    """
    rows = checked_features(features)
    indices, counts = checked_labels(labels, len(rows))
    if not 0 < epsilon < np.inf:
        raise ValueError(f"epsilon must be positive, got {epsilon}")
    rows = rows - rows.mean(axis=0)
    length = np.sqrt(np.einsum("nd,nd->", rows, rows) / len(rows))
    if not length > 0:
        return 0.0
    rows /= length
    rates = np.empty(len(counts))
    for classes, padded in padded_classes(rows, indices, counts):
        rates[classes] = _coding_rates(padded, counts[classes], epsilon)
    whole = _coding_rates(rows[None], np.array([len(rows)]), epsilon)[0]
    return max(0.0, float(whole - counts @ rates / len(rows)))  # not negative: log det is concave


def _coding_rates(rows: NDArray[np.float64], counts: NDArray[np.int64], epsilon: float) -> NDArray[np.float64]:
    """½·log det(I + ZᵀZ / (n·ε)) of B sets (B, n, D) of (B,) images, padded with zero rows.

    ZᵀZ and Z·Zᵀ have the same determinant; the smaller is taken.
    """
    turned = rows.transpose(0, 2, 1)
    gram = rows @ turned if rows.shape[1] <= rows.shape[2] else turned @ rows
    gram /= (counts * epsilon)[:, None, None]
    gram[:, np.arange(gram.shape[1]), np.arange(gram.shape[1])] += 1
    return 0.5 * np.linalg.slogdet(gram).logabsdet


TRANSRATE = Measure(
    name="transrate",
    meaning="coding rate of all features less that of each class (Huang et al. 2022)",
    needs=frozenset({"target images"}),
    direction="higher",
    function=lambda evidence: transrate(*evidence.labelled),
)
