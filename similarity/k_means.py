"""Spherical k-means on features, in one level or two."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.console import progress
from similarity.distances import inner_product_index

#: Most clusters that are found in one level, and lists of centroids that are searched for an image if there are more.
FLAT, _SEARCHED = 1 << 13, 16


def spherical_k_means(points: NDArray[np.float32], clusters: int, iterations: int, seed: int) -> NDArray[np.float32]:
    """Spherical k-means: centroids of length 1 that locally maximise Σ_i max_k ⟨x_i, c_k⟩ (Dhillon and Modha, 2001).

    The points (N, D) have length 1, the centroids are (K, D), and K = ``clusters`` is 1 to N. The initial centroids are
    random points; an empty cluster receives a part of a large one. There is at least one iteration.

    More than :data:`FLAT` clusters are found in two levels: √K groups, and in each of them clusters in proportion to
    its points. One level would take √K / 2 times as long.
    """
    if clusters <= FLAT:
        with progress("k-means", iterations) as advance:
            return _k_means(points, clusters, iterations, seed, lambda cosine: advance(1, f"mean cosine {cosine:.4f}"))
    with progress("k-means of groups", iterations) as advance:
        groups = _k_means(points, round(math.sqrt(clusters)), iterations, seed, lambda cosine: advance(1))
    group = nearest_centroids(inner_product_index(groups), points)[1]
    sizes = np.bincount(group, minlength=len(groups))
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
    centroids = []
    with progress("k-means in groups", clusters) as advance:
        for places, of_group in zip(members, shared_out(sizes, clusters).tolist(), strict=True):
            if of_group:
                centroids.append(_k_means(points[places], of_group, iterations, seed))
                advance(of_group)
    return np.concatenate(centroids)


def shared_out(sizes: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    """(G,) numbers of clusters of groups of points: in proportion to the sizes, and none above them.

    Each group that is not empty has one at least; ``clusters`` is the sum, from their number to that of all points.
    """
    filled = np.flatnonzero(sizes)
    exact = sizes[filled] * (clusters / sizes.sum())
    quota = np.clip(np.floor(exact).astype(np.int64), 1, sizes[filled])
    while (rest := clusters - int(quota.sum())) != 0:
        step = 1 if rest > 0 else -1
        free = np.flatnonzero(quota < sizes[filled] if rest > 0 else quota > 1)
        furthest = np.argsort(step * (quota - exact)[free], kind="stable")[: abs(rest)]
        quota[free[furthest]] += step
    found = np.zeros(len(sizes), dtype=np.int64)
    found[filled] = quota
    return found


def _k_means(
    points: NDArray[np.float32],
    clusters: int,
    iterations: int,
    seed: int,
    report: Callable[[float], None] = lambda cosine: None,
) -> NDArray[np.float32]:
    """Spherical k-means in one level; after each iteration the mean cosine similarity is given to ``report``."""
    import faiss

    options = {"niter": 1, "spherical": True, "seed": seed, "min_points_per_centroid": 1}
    centroids = None
    for _ in range(iterations):  # one at a time, for the progress bar
        k_means = faiss.Kmeans(points.shape[1], clusters, max_points_per_centroid=len(points), **options)
        mean_cosine = k_means.train(points, init_centroids=centroids) / len(points)
        centroids = k_means.centroids
        report(mean_cosine)
    return np.asarray(centroids, dtype=np.float32).reshape(clusters, -1)


def index_of_centroids(centroids: NDArray[np.float32]) -> Any:
    """An index of centroids by inner product: exact, or for more than :data:`FLAT` by the nearest lists of them."""
    if len(centroids) <= FLAT:
        return inner_product_index(centroids)
    import faiss

    width, lists = centroids.shape[1], round(math.sqrt(len(centroids)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = min(_SEARCHED, lists)
    index.train(centroids)
    index.add(centroids)
    return index


def nearest_centroids(index: Any, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(B,) cosine similarity of points of length 1 to the nearest centroid, and its position."""
    cosine, found = index.search(points, 1)
    return cosine[:, 0], found[:, 0]


def unit_length(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, D) features scaled to length 1; zero rows stay 0."""
    points = np.ascontiguousarray(features, dtype=np.float32)
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return np.divide(points, norms, out=np.zeros_like(points), where=norms > 0)
