"""The decomposition of features and labels that LogME and the H-score share.

With F = U·S·Vᵀ, both depend on the features only through the squared singular values and the squared projections
(u_kᵀ y_c)² of each class's indicator y_c onto each left singular vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from similarity.measures.grouping import class_sums


def label_spectrum(
    features: NDArray[np.float64], labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Decompose features (N, D), centred or not, by the eigenvectors of FᵀF or F·Fᵀ, whichever is smaller.

    Labels (N,) are in 0 … C − 1, counts (C,). Directions whose eigenvalue is round-off relative to the largest are
    dropped.

    Returns:
        (K,) squared singular values, positive, where K is the rank; and (K, C) (u_kᵀ y_c)². A column of the latter sums
        to at most ‖y_c‖² = n_c.
    """
    images, width = features.shape
    wide = width >= images
    gram = features @ features.T if wide else features.T @ features
    squares, vectors = np.linalg.eigh(gram)
    kept = squares > max(images, width) * np.finfo(np.float64).eps * squares[-1]
    squares, vectors = squares[kept], vectors[:, kept]
    if wide:
        along = class_sums(vectors, labels, len(counts)).T
    else:
        along = (class_sums(features, labels, len(counts)) @ vectors).T / np.sqrt(squares)[:, None]
    return squares, np.square(along)
