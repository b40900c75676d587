"""Spherical k-means in one level and two, against its definition."""

import numpy as np
import pytest

from similarity import k_means
from similarity.k_means import index_of_centroids, nearest_centroids, shared_out, spherical_k_means, unit_length


def test_k_means_ends_at_a_fixed_point():
    """By its definition: each point is with its nearest centroid, and that is the direction of their sum."""
    points = unit_length(np.random.default_rng(2).normal(size=(300, 6)))
    centroids = spherical_k_means(points, 7, 100, 0)
    nearest = (points @ centroids.T).argmax(axis=1)
    sums = np.stack([points[nearest == c].sum(axis=0, dtype=np.float64) for c in range(7)])
    np.testing.assert_allclose(centroids, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-5)
    single = (points @ unit_length(points.mean(axis=0, keepdims=True)).T).mean()
    assert (points @ centroids.T).max(axis=1).mean() > single


def test_a_feature_of_zero_has_a_place():
    points = unit_length(np.array([[0, 0], [3, 4], [1e-3, 0]]))
    np.testing.assert_allclose(points, [[0, 0], [0.6, 0.8], [1, 0]], rtol=1e-6)


@pytest.fixture
def points():
    """2,000 points of length 1 around 60 directions."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.standard_normal((60, 16))
    return unit_length(centres[rng.integers(0, 60, 2000)] + rng.standard_normal((2000, 16)))


def test_two_levels_are_nearly_as_good_as_one(points, monkeypatch):
    flat = spherical_k_means(points, 100, 10, 0)
    monkeypatch.setattr(k_means, "FLAT", 50)
    found = spherical_k_means(points, 100, 10, 0)
    assert found.shape == flat.shape
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    of_flat, of_two, by_chance = (
        (points @ centroids.T).max(axis=1).mean() for centroids in (flat, found, points[:100])
    )
    assert of_two - by_chance > 0.9 * (of_flat - by_chance)
    cosine, nearest = nearest_centroids(index_of_centroids(found), points)  # by lists
    exact = (points @ found.T).max(axis=1)
    assert (cosine >= exact - 1e-5).mean() > 0.99
    np.testing.assert_allclose(np.einsum("nd,nd->n", points, found[nearest]), cosine, atol=1e-5)


def test_as_many_clusters_as_points(points, monkeypatch):
    monkeypatch.setattr(k_means, "FLAT", 5)
    found = spherical_k_means(points[:40], 40, 2, 0)
    np.testing.assert_allclose((points[:40] @ found.T).max(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_clusters_are_shared_out_in_proportion(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, [2, 10, 1000][seed % 3], 30)
    sizes[0] = 1
    clusters = int(rng.integers(np.count_nonzero(sizes), sizes.sum() + 1))
    found = shared_out(sizes, clusters)
    assert found.sum() == clusters and (found <= sizes).all() and (found[sizes > 0] >= 1).all()


def test_proportions_are_kept_where_they_can_be():
    assert shared_out(np.array([10, 20, 70]), 10).tolist() == [1, 2, 7]
    assert shared_out(np.array([0, 1, 99]), 50).tolist() == [0, 1, 49]
    assert shared_out(np.array([1, 1, 98]), 3).tolist() == [1, 1, 1]
