"""OTDD: optimal transport between two labelled data sets, where labels have a distance too.

Source: Alvarez-Melis and Fusi, "Geometric Dataset Distances via Optimal Transport", NeurIPS 2020.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.distances import pairwise_distances
from similarity.measures.checks import checked_features
from similarity.measures.sampling import sample
from similarity.transport.earth_movers_distance import transport_plan

#: Images of each side at most: the exact transport of 2,000 to 2,000 takes about a second.
MOST_IMAGES = 2_000
#: Entries of one block of pairs of covariances (float64: 32 MiB).
_BLOCK = 1 << 22


def label_distances(
    means: ArrayLike, spread: ArrayLike, other_means: ArrayLike, other_spread: ArrayLike
) -> NDArray[np.float64]:
    """Squared 2-Wasserstein distance of every two classes of two data sets, each class a Gaussian.

        W₂² = ‖m − m′‖² + tr(Σ + Σ′ − 2·(Σ^½·Σ′·Σ^½)^½)

    The shape of ``spread`` says what of the covariances is known. With variances alone (diagonal covariances) the
    second term is ‖v^½ − v′^½‖², and C × C′ distances are one matrix product: what a feature bank allows, at any
    width. With whole covariances it is the Bures distance, by the eigenvalues of one D × D matrix for each pair: for
    features of few dimensions, such as principal components.

    Args:
        means: (C, D) class means.
        spread: (C, D) variances, or (C, D, D) covariances.
        other_means: (C′, D).
        other_spread: (C′, D) or (C′, D, D), of the same kind.

    Returns:
        (C, C′) float64 in squared units of the features, not negative.

    Raises:
        ValueError: Shapes do not fit each other, a value is not finite, or a variance is negative.
    """
    m, s = _gaussians("means", "spread", means, spread)
    other_m, other_s = _gaussians("other_means", "other_spread", other_means, other_spread)
    if m.shape[1] != other_m.shape[1] or s.ndim != other_s.ndim:
        raise ValueError(
            f"both sides must have one width and spreads of one kind, got {s.shape[1:]} and {other_s.shape[1:]}"
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

    Every image weighs the same; the transport is exact.

    Args:
        features: (N, D) image features.
        labels: (N,) integers, the rows of ``between_labels``.
        other: (M, D) image features.
        other_labels: (M,) integers, its columns.
        between_labels: (C, C′) squared distances of the labels, from :func:`label_distances`.
        most: Images of each side at most; of more, so many drawn by chance. Fewer images lie further from each
            other, so values are to be compared only where both sides have enough of them.
        seed: Of the draw.

    Returns:
        The cost in squared units of the features, at least 0; a lower one promises better transfer. Its root is a
        metric between data sets.

    Raises:
        ValueError: Features are no finite matrices of one width, or labels or their distances do not fit.
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
    """(C, C′) squared Bures distances of covariances (C, D, D) and (C′, D, D), a block of pairs at a time."""
    values, vectors = np.linalg.eigh(covariances)
    roots = (vectors * np.sqrt(np.maximum(values, 0))[:, None]) @ vectors.transpose(0, 2, 1)
    shared = np.empty((len(covariances), len(others)))
    step = max(1, _BLOCK // others.size)
    for start in range(0, len(roots), step):
        root = roots[start : start + step, None]
        shared[start : start + step] = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ others @ root), 0)).sum(axis=2)
    own, theirs = (np.trace(of, axis1=1, axis2=2) for of in (covariances, others))
    return np.maximum(own[:, None] + theirs - 2 * shared, 0)


def _gaussians(
    means_name: str, spread_name: str, means: ArrayLike, spread: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Class means and variances or covariances that fit each other."""
    m, s = checked_features(means, means_name), np.asarray(spread, dtype=np.float64)
    if s.shape not in (m.shape, (*m.shape, m.shape[1])):
        raise ValueError(f"{spread_name} must be {m.shape} or {(*m.shape, m.shape[1])}, got {s.shape}")
    if not np.isfinite(s).all() or (s.ndim == 2 and (s < 0).any()):
        raise ValueError(f"{spread_name} must be finite, and variances not negative")
    return m, s


def _labels(name: str, labels: ArrayLike, images: int, classes: int) -> NDArray[np.integer]:
    """Labels that are places in the distances of labels."""
    places = np.asarray(labels)
    fits = places.shape == (images,) and np.issubdtype(places.dtype, np.integer)
    if not fits or places.min() < 0 or places.max() >= classes:
        raise ValueError(f"{name} must be {images} integers in 0 … {classes - 1}, got {places.dtype} {places.shape}")
    return places
