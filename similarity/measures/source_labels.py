"""What a source's classes say of the target's labels: LEEP and NCE, and where their probabilities come from.

Sources: Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML 2020; Tran,
Nguyen and Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.geometry import whitening_factor
from similarity.measures.checks import checked_features, checked_labels, checked_posterior
from similarity.measures.grouping import class_sums

#: Entries of one block of probabilities (float64: 32 MiB).
_BLOCK = 1 << 22


def leep(posterior: ArrayLike, labels: ArrayLike) -> float:
    """Log expected empirical prediction: mean_i log Σ_z P(y_i|z)·θ(x_i)_z.

    P(y|z) = P(y, z) / P(z) with the joint distribution P(y, z) = 1/N·Σ_{i: y_i = y} θ(x_i)_z.

    Args:
        posterior: (N, Z) θ, probabilities of the source's classes for each of the target's images.
        labels: (N,) integers, of at least two classes of the target.

    Returns:
        Nats an image, at most 0; a higher one promises better transfer.

    Raises:
        ValueError: Rows are no probabilities, or labels are malformed.
    """
    theta = checked_posterior(posterior)
    places, counts = checked_labels(labels, len(theta))
    joint = class_sums(theta, places, len(counts))
    marginal = joint.sum(axis=0)
    conditional = np.divide(joint, marginal, out=joint, where=marginal > 0)  # a class that no image has says nothing
    step = max(1, _BLOCK // theta.shape[1])
    total = 0.0
    for start in range(0, len(theta), step):
        rows = slice(start, start + step)
        total += float(np.log(np.einsum("nz,nz->n", conditional[places[rows]], theta[rows])).sum())
    return min(0.0, total / len(theta))


def nce(posterior: ArrayLike, labels: ArrayLike) -> float:
    """Negative conditional entropy −H(Y|Z) of the target's labels.

    Z is the source's most probable class of an image, the first where several are:
    Σ_{y,z} P(y, z)·log(P(y, z) / P(z)).

    Args:
        posterior: (N, Z) probabilities of the source's classes for each of the target's images.
        labels: (N,) integers, of at least two classes of the target.

    Returns:
        Nats, −log C to 0; a higher one promises better transfer. LEEP is at least this plus the mean log
        probability of those classes.

    Raises:
        ValueError: Rows are no probabilities, or labels are malformed.
    """
    theta = checked_posterior(posterior)
    places, counts = checked_labels(labels, len(theta))
    likeliest = theta.argmax(axis=1)
    together = np.unique(likeliest * len(counts) + places, return_counts=True)
    images = np.bincount(likeliest, minlength=theta.shape[1])[together[0] // len(counts)]
    return min(0.0, float(together[1] @ np.log(together[1] / images)) / len(theta))


def source_posterior(features: ArrayLike, source_bank: FeatureBank) -> NDArray[np.float64]:
    """Probabilities of a source's classes, by the linear discriminant of its class statistics.

    Classes are Gaussians around their means with one covariance, that within the source's classes plus its mean
    eigenvalue on the diagonal, as in the geometry ``whitened``; a class is as probable beforehand as it has images.
    So LEEP and NCE work for any source domain under a shared backbone; under a model of its own, take its head.

    Args:
        features: (N, D) image features of the target.
        source_bank: The source; no images are needed.

    Returns:
        (N, Z) float64, rows sum to 1.

    Raises:
        ValueError: The features are no finite matrix of the bank's width.
        InputError: The source has one image a class, so its covariance is not known.
    """
    rows = checked_features(features)
    means = source_bank.means.astype(np.float64)
    if rows.shape[1] != means.shape[1]:
        raise ValueError(f"features must have the {means.shape[1]} columns of the source, got {rows.shape[1]}")
    factor = whitening_factor([source_bank])
    if factor is None:
        raise InputError(
            f"{source_bank.name}: the images of a class do not vary, so there are no class probabilities; "
            f"extract at least two images a class"
        )
    origin = means.mean(axis=0)  # distances do not move with it; round-off shrinks
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
