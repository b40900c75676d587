"""H-score: the share of the features' variance that lies between the classes.

Sources: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019;
with shrinkage: Ibrahim, Ponomareva and Mazumder, "Newer is not always better", ECML PKDD 2022; the shrinkage
intensity: Ledoit and Wolf, Journal of Multivariate Analysis 2004.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.spectrum import label_spectrum


def h_score(features: ArrayLike, labels: ArrayLike, *, shrinkage: bool = True) -> float:
    """tr(cov(f)⁻¹ · cov(E[f|y])) with population covariances, each class weighted by its number of images.

    For few images the plain form only counts classes: if D ≥ N it is C − 1 for any features. With shrinkage it is
    tr(Σ_a⁻¹ · (1 − a)·cov(E[f|y])), Σ_a = (1 − a)·cov(f) + a·μ·I, where μ is the mean eigenvalue and a the shrinkage
    intensity of Ledoit and Wolf.

    Args:
        features: (N, D).
        labels: (N,) integers, of at least two classes.
        shrinkage: False computes the plain form of Bao et al., with a pseudo-inverse.

    Returns:
        0 to min(C − 1, D), without a unit; higher predicts better transfer.

    Raises:
        ValueError: Features or labels are malformed.
    """
    rows = checked_features(features)
    indices, counts = checked_labels(labels, len(rows))
    rows = rows - rows.mean(axis=0)
    squares, along = label_spectrum(rows, indices, counts)
    between = (along / counts).sum(axis=1)  # share of each direction's variance
    if not shrinkage:
        return float(between.sum())
    eigenvalues = squares / len(rows)
    a, mean_eigenvalue = _ledoit_wolf(rows, eigenvalues)
    kept = (1 - a) * eigenvalues
    return float(between @ (kept / (kept + a * mean_eigenvalue)))


def _ledoit_wolf(centred: NDArray[np.float64], eigenvalues: NDArray[np.float64]) -> tuple[float, float]:
    """Shrinkage intensity of centred features (N, D) towards the mean eigenvalue, and the mean eigenvalue.

    The squared Frobenius norms of all x_n·x_nᵀ sum to Σ_n ‖x_n‖⁴, so no further D × D product is formed.
    """
    images, width = centred.shape
    mean_eigenvalue = float(eigenvalues.sum()) / width
    squared = float(np.square(eigenvalues).sum())
    spread = squared - width * mean_eigenvalue**2
    fourth = float(np.square(np.einsum("nd,nd->n", centred, centred)).sum())
    error = min((fourth / images - squared) / images, spread)
    return (error / spread if error > 0 else 0.0), mean_eigenvalue


H_SCORE = Measure(
    name="h-score",
    meaning="the features' variance between classes over the whole, shrunk (Bao et al. 2019, Ibrahim et al. 2022)",
    needs=frozenset({"target images"}),
    direction="higher",
    function=lambda evidence: h_score(*evidence.labelled),
)
