"""What the directions of a set of features know of the labels: shared by LogME and the H-score.

With the singular value decomposition F = U·S·Vᵀ, both depend on the features through the squared singular values
and the share of each class's indicator y_c along each left singular vector, (u_kᵀ y_c)².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from similarity.measures.grouping import class_sums


@dataclass(frozen=True, eq=False)
class LabelSpectrum:
    """A decomposition of features, and of labels along it.

    Attributes:
        squares: (K,) squared singular values of the features, positive; K is their rank.
        along: (K, C) (u_kᵀ y_c)², y_c the indicator of class c. A column sums to at most the class's images.
    """

    squares: NDArray[np.float64]
    along: NDArray[np.float64]


def label_spectrum(
    features: NDArray[np.float64], labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> LabelSpectrum:
    """Decompose features by the eigenvectors of FᵀF or F·Fᵀ, whichever is smaller.

    Directions whose variance is the round-off of the largest are dropped.

    Args:
        features: (N, D), as they are or centred.
        labels: (N,) in 0 … C − 1.
        counts: (C,) images of each class.
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
