"""The decomposition of features and labels that LogME and the H-score share.

With the singular value decomposition F = U·S·Vᵀ, both depend on the features only through the squared singular values
and the squared projections (u_kᵀ y_c)² of each class's indicator y_c onto each left singular vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from similarity.measures.grouping import class_sums


@dataclass(frozen=True, eq=False)
class LabelSpectrum:
    """The spectrum of features, and the labels projected onto it.

    Attributes:
        squares: (K,) squared singular values of the features, positive; K is their rank.
        along: (K, C) (u_kᵀ y_c)², y_c the indicator of class c. A column sums to at most ‖y_c‖² = n_c.
    """

    squares: NDArray[np.float64]
    along: NDArray[np.float64]


def label_spectrum(
    features: NDArray[np.float64], labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> LabelSpectrum:
    """Decompose features (N, D), centred or not, by the eigenvectors of FᵀF or F·Fᵀ, whichever is smaller.

    Labels (N,) are in 0 … C − 1, counts (C,). Directions whose eigenvalue is round-off relative to the largest are
    dropped.
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
    return LabelSpectrum(squares, np.square(along))
