"""H-score: how much of the features' variance lies between the classes.

Sources: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019;
shrunk: Ibrahim, Ponomareva and Mazumder, "Newer is not always better", ECML PKDD 2022; the shrinkage: Ledoit and Wolf,
Journal of Multivariate Analysis 2004.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.spectrum import label_spectrum


def h_score(features: ArrayLike, labels: ArrayLike, *, shrinkage: bool = True) -> float:
    """tr(cov(f)⁻¹ · cov(E[f|y])), population covariances, each class weighted by its images.

    Where images are few for their width, the plain form only counts classes: with D ≥ N it is C − 1 whatever the
    features are. The shrunk one is tr(Σ_a⁻¹ · (1 − a)·cov(E[f|y])), Σ_a = (1 − a)·cov(f) + a·μ·I, μ the mean
    eigenvalue and a the shrinkage of Ledoit and Wolf.

    Args:
        features: (N, D).
        labels: (N,) integers, of at least two classes.
        shrinkage: False for the plain form of Bao et al., with a pseudo-inverse.

    Returns:
        0 to the lesser of C − 1 and D, without a unit; a higher one promises better transfer.

    Raises:
        ValueError: Features or labels are malformed.
    """
    rows = checked_features(features)
    places, counts = checked_labels(labels, len(rows))
    rows = rows - rows.mean(axis=0)
    spectrum = label_spectrum(rows, places, counts)
    between = (spectrum.along / counts).sum(axis=1)  # of a direction's variance, the share between the classes
    if not shrinkage:
        return float(between.sum())
    eigenvalues = spectrum.squares / len(rows)
    a, mean_eigenvalue = _ledoit_wolf(rows, eigenvalues)
    kept = (1 - a) * eigenvalues
    return float(between @ (kept / (kept + a * mean_eigenvalue)))


def _ledoit_wolf(centred: NDArray[np.float64], eigenvalues: NDArray[np.float64]) -> tuple[float, float]:
    """Shrinkage towards the mean eigenvalue, and that eigenvalue.

    The squares of all products of two features, summed over images, are Σ_n ‖x_n‖⁴: no further product of size
    D × D is formed.

    Args:
        centred: (N, D).
        eigenvalues: (K,) of the population covariance; the others are 0.
    """
    images, width = centred.shape
    mean_eigenvalue = float(eigenvalues.sum()) / width
    squared = float(np.square(eigenvalues).sum())
    spread = squared - width * mean_eigenvalue**2
    fourth = float(np.square(np.einsum("nd,nd->n", centred, centred)).sum())
    error = min((fourth / images - squared) / images, spread)
    return (error / spread if error > 0 else 0.0), mean_eigenvalue
