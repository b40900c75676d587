"""Lazy greedy facility location against plain greedy and against every subset."""

from itertools import combinations

import numpy as np
import pytest

from similarity.coverage import cover


def value(distances, weights, chosen):
    farthest = distances.max()
    return sum(w * (farthest - min(distances[i, j] for i in chosen)) for j, w in enumerate(weights))


def plain_greedy(distances, weights, size):
    """One round, every gain computed anew."""
    chosen = []
    while len(chosen) < size:
        rest = [i for i in range(len(distances)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: value(distances, weights, [*chosen, i])))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_lazy_is_plain_greedy(seed):
    rng = np.random.default_rng(seed)
    distances, weights = rng.random((20, 30)), rng.random(30)
    np.testing.assert_array_equal(cover(distances, weights, 6), plain_greedy(distances, weights, 6))


@pytest.mark.parametrize("seed", range(5))
def test_reaches_its_guarantee(seed):
    rng = np.random.default_rng(seed)
    distances, weights = rng.random((9, 12)), rng.random(12)
    best = max(value(distances, weights, chosen) for chosen in combinations(range(9), 3))
    assert value(distances, weights, cover(distances, weights, 3)) >= (1 - 1 / np.e) * best


def test_serves_every_group_where_the_mean_distance_serves_the_middle():
    targets = np.array([0.0, 10.0])
    sources = np.array([5.0, 0.5, 9.0])
    distances = np.abs(sources[:, None] - targets)
    assert set(cover(distances, np.array([1, 1]), 3)[:2].tolist()) != {0}
    weights = np.array([3, 2])
    np.testing.assert_array_equal(cover(distances, weights, 2), [1, 2])


def test_begins_anew_when_every_target_is_served():
    distances = np.array([[0.0, 9.0], [9.0, 0.0], [1.0, 9.0], [9.0, 2.0], [9.0, 9.0]])
    np.testing.assert_array_equal(cover(distances, np.array([1, 1]), 5), [0, 1, 2, 3, 4])


def test_equal_gains_go_by_number():
    np.testing.assert_array_equal(cover(np.ones((4, 2)), np.ones(2), 4), [0, 1, 2, 3])
