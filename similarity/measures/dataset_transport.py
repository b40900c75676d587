"""OTDD (Alvarez-Melis and Fusi, "Geometric Dataset Distances via Optimal Transport", NeurIPS 2020)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from similarity.distances import pairwise_distances
from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_features
from similarity.measures.evidence import Evidence
from similarity.measures.sampling import sample
from similarity.transport.network_simplex import transport_plan

#: Most images of each side: the exact transport between 2,000 and 2,000 images takes about a second.
MOST_IMAGES = 2_000
#: Entries of one block of pairs of covariances (float64: 32 MiB).
_BLOCK = 1 << 22


def label_distances(
    means: ArrayLike, spread: ArrayLike, other_means: ArrayLike, other_spread: ArrayLike
) -> NDArray[np.float64]:
    """Squared 2-Wasserstein distances between the classes of two datasets, each class a Gaussian.

        W₂² = ‖m − m′‖² + tr(Σ + Σ′ − 2·(Σ^½·Σ′·Σ^½)^½)

    For variances the second term is ‖v^½ − v′^½‖², and all distances are one matrix product. For full covariances it is
    the squared Bures distance, from the eigenvalues of one D × D matrix for each pair, which suits few dimensions.

    Args:
        means, other_means: (C, D) and (C′, D) class means.
        spread, other_spread: Variances of the same shapes, or (C, D, D) and (C′, D, D) covariances.

    Returns:
        (C, C′) non-negative float64 in squared units of the features.

    Raises:
        ValueError: Shapes do not match, a value is not finite, or a variance is negative.
    """
    m, s = _gaussians("", means, spread)
    other_m, other_s = _gaussians("other_", other_means, other_spread)
    if m.shape[1] != other_m.shape[1] or s.ndim != other_s.ndim:
        raise ValueError(
            f"both sides must have one width, and both variances or covariances, got {s.shape[1:]} and "
            f"{other_s.shape[1:]}"
        )
    if s.ndim == 2:
        points, other_points = np.hstack([m, np.sqrt(s)]), np.hstack([other_m, np.sqrt(other_s)])
        return np.square(pairwise_distances(points, other_points))
    return np.square(pairwise_distances(m, other_m)) + _bures(s, other_s)


def otdd(
    features: ArrayLike,
    labels: ArrayLike,
    other: ArrayLike,
    other_labels: ArrayLike,
    between_labels: ArrayLike,
    *,
    most: int = MOST_IMAGES,
    seed: int = 0,
) -> float:
    """Optimal transport dataset distance: min_P Σ_ij P_ij·(‖x_i − x′_j‖² + W₂²(y_i, y′_j)).

    All images have the same weight; the transport is exact.

    Args:
        features, other: (N, D) and (M, D) image features.
        labels, other_labels: (N,) and (M,) integers, rows and columns of ``between_labels``.
        between_labels: (C, C′) squared distances between labels, from :func:`label_distances`.
        most: Most images of each side; a random sample of larger sets. The value is biased upwards for small samples,
            so compare values only between sets of similar, large size.
        seed: Seed of the random sample.

    Returns:
        The cost in squared units of the features, at least 0; lower predicts better transfer. Its square root is a
        metric between datasets.

    Raises:
        ValueError: Features are not finite matrices of one width, or labels do not match ``between_labels``.
    """
    x, y = checked_features(features), checked_features(other, "other")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"features and other must have one width, got {x.shape[1]} and {y.shape[1]}")
    between = checked_features(between_labels, "between_labels")
    rows, columns = sample(x, most, seed), sample(y, most, seed)
    of_x = _labels("labels", labels, len(x), between.shape[0])[rows]
    of_y = _labels("other_labels", other_labels, len(y), between.shape[1])[columns]
    costs = np.square(pairwise_distances(x[rows], y[columns])) + between[np.ix_(of_x, of_y)]
    weights = [np.full(size, 1 / size) for size in costs.shape]
    plan = transport_plan(costs, *weights)[0]
    return float(np.einsum("ij,ij->", plan, costs))


def _bures(covariances: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, C′) squared Bures distances between covariances (C, D, D) and (C′, D, D), in blocks of pairs."""
    values, vectors = np.linalg.eigh(covariances)
    roots = (vectors * np.sqrt(np.maximum(values, 0))[:, None]) @ vectors.transpose(0, 2, 1)
    shared = np.empty((len(covariances), len(others)))
    step = max(1, _BLOCK // others.size)
    for start in range(0, len(roots), step):
        root = roots[start : start + step, None]
        shared[start : start + step] = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ others @ root), 0)).sum(axis=2)
    own, theirs = (np.trace(of, axis1=1, axis2=2) for of in (covariances, others))
    return np.maximum(own[:, None] + theirs - 2 * shared, 0)


def _gaussians(side: str, means: ArrayLike, spread: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Class means, and variances or covariances of matching shape; ``side`` begins the names in messages."""
    m, s = checked_features(means, f"{side}means"), np.asarray(spread, dtype=np.float64)
    if s.shape not in (m.shape, (*m.shape, m.shape[1])):
        raise ValueError(f"{side}spread must be {m.shape} or {(*m.shape, m.shape[1])}, got {s.shape}")
    if not np.isfinite(s).all() or (s.ndim == 2 and (s < 0).any()):
        raise ValueError(f"{side}spread must be finite, and variances must not be negative")
    return m, s


def _labels(name: str, labels: ArrayLike, images: int, classes: int) -> NDArray[np.integer]:
    """Labels that index the distances between labels."""
    indices = np.asarray(labels)
    fits = indices.shape == (images,) and np.issubdtype(indices.dtype, np.integer)
    if not fits or indices.min() < 0 or indices.max() >= classes:
        raise ValueError(f"{name} must be {images} integers in 0 … {classes - 1}, got {indices.dtype} {indices.shape}")
    return indices


def _otdd(evidence: Evidence) -> float:
    source, target = evidence.given_source, evidence.target
    if source.variances is None or target.variances is None:
        raise InputError("needs the variances of the classes of source and target")
    between = label_distances(source.means, source.variances, target.means, target.variances)
    images = evidence.images
    return otdd(*evidence.source_sample, images.features, images.labels, between, seed=evidence.seed)


OTDD = Measure(
    name="otdd",
    meaning="optimal transport between labelled images, labels as Gaussians (Alvarez-Melis and Fusi 2020)",
    needs=frozenset({"source", "source images", "target images"}),
    direction="lower",
    compares="sources",
    function=_otdd,
    place=0,
)
