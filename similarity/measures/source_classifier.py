"""Source class probabilities of target images, from the source's class statistics alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.geometry import whitening_factor
from similarity.measures.checks import checked_features

#: Entries of one block of probabilities (float64: 32 MiB).
_BLOCK = 1 << 22


def source_posterior(features: ArrayLike, source_bank: FeatureBank) -> NDArray[np.float64]:
    """Posterior probabilities of a source's classes by linear discriminant analysis of its class statistics.

    Classes are Gaussians around their means with one shared covariance: the pooled within-class covariance plus its
    mean eigenvalue on the diagonal, as in the geometry ``whitened``. The prior of a class is its share of the images.
    LEEP and NCE thus apply to any source domain under a shared backbone; for a model with its own head, use the head.
    Features of the target are (N, D); the source needs no images.

    Returns:
        (N, Z) float64, rows sum to 1.

    Raises:
        ValueError: The features are not a finite matrix of the bank's width.
        InputError: The source has one image for each class, or is of class means alone, so that its within-class
            covariance is unknown.
    """
    rows = checked_features(features)
    means = source_bank.means.astype(np.float64)
    if rows.shape[1] != means.shape[1]:
        raise ValueError(f"features must have the {means.shape[1]} columns of the source, got {rows.shape[1]}")
    if source_bank.within_covariance is None:
        raise InputError(f"{source_bank.name} holds no within-class covariance, so there are no class probabilities")
    factor = whitening_factor([source_bank])
    if factor is None:
        raise InputError(
            f"{source_bank.name}: the images of a class do not vary, so there are no class probabilities; "
            f"extract at least two images for each class"
        )
    origin = means.mean(axis=0)  # distances are invariant to it, round-off is smaller
    anchors = solve_triangular(factor, (means - origin).T, lower=True, check_finite=False)
    prior = np.log(source_bank.counts / source_bank.counts.sum()) - 0.5 * np.square(anchors).sum(axis=0)
    weight = solve_triangular(factor, anchors, lower=True, trans="T", check_finite=False)
    posterior = np.empty((len(rows), len(means)))
    step = max(1, _BLOCK // max(means.shape))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        scores = (rows[part] - origin) @ weight + prior
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        posterior[part] = scores / scores.sum(axis=1, keepdims=True)
    return posterior
