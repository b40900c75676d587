"""Distances against SciPy, also where the fast formula cancels."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from similarity import distances as distance
from similarity.distances import (
    mean_distances,
    mean_squared_distances,
    neighbour_squared_distances,
    pairwise_distances,
)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_agrees_with_scipy(offset):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 7)) + offset, rng.standard_normal((30, 7)) + offset
    np.testing.assert_allclose(pairwise_distances(x, y), cdist(x, y), rtol=1e-11)


def test_points_that_nearly_coincide_keep_their_digits():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((20, 5)) * 100
    y = x + 1e-7 * rng.standard_normal((20, 5))
    np.testing.assert_allclose(pairwise_distances(x, y), cdist(x, y), rtol=1e-6)
    assert (np.diag(pairwise_distances(x, x)) == 0).all()


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    x, weights = rng.standard_normal((23, 3)), rng.random(23)
    whole = mean_distances(x, x, weights), neighbour_squared_distances(x, 4)
    monkeypatch.setattr(distance, "_BLOCK", 50)
    np.testing.assert_allclose(mean_distances(x, x, weights), whole[0], rtol=1e-12)
    np.testing.assert_allclose(neighbour_squared_distances(x, 4), whole[1], rtol=1e-12)


def test_neighbours_against_a_sort():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((15, 3))
    expected = np.sort(cdist(x, x) ** 2, axis=1)[:, 1:4].mean(axis=1)
    np.testing.assert_allclose(neighbour_squared_distances(x, 3), expected, rtol=1e-12)


def test_fewer_points_than_neighbours():
    x = np.array([[0.0], [1.0], [3.0]])
    np.testing.assert_allclose(neighbour_squared_distances(x, 10), [5.0, 2.5, 6.5])
    np.testing.assert_array_equal(neighbour_squared_distances(x[:1], 10), [0.0])


def test_a_twin_is_a_neighbour_at_distance_zero():
    np.testing.assert_allclose(neighbour_squared_distances(np.array([[1.0], [1.0], [5.0]]), 1), [0.0, 0.0, 16.0])


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_mean_squared_distances_against_all_pairs(offset):
    rng = np.random.default_rng(4)
    x, y, weights = rng.standard_normal((12, 5)) + offset, rng.standard_normal((9, 5)) + offset, rng.integers(1, 50, 9)
    expected = np.average(cdist(x, y) ** 2, axis=1, weights=weights)
    np.testing.assert_allclose(mean_squared_distances(x, y, weights), expected, rtol=1e-10)
