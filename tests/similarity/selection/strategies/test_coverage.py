"""Lazy greedy facility location against plain greedy and against every subset."""

from itertools import combinations

import numpy as np
import pytest

from similarity.selection.strategies.coverage import certify, cover


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


# Certificates


def least(distances, weights, size):
    """The smallest mean distance of any choice of that size, by trying all."""
    share = weights / weights.sum()
    return min(share @ distances[list(rows)].min(axis=0) for rows in combinations(range(len(distances)), size))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_choice_is_below_the_certified_bound(seed, size):
    rng = np.random.default_rng(seed)
    distances, weights = rng.random((9, 12)), rng.random(12)
    best = least(distances, weights, size)
    for chosen in (cover(distances, weights, size), rng.permutation(9)[:size]):
        found = certify(distances, weights, chosen)
        share = weights / weights.sum()
        assert found.distance == pytest.approx(share @ distances[chosen].min(axis=0))
        assert found.bound <= best + 1e-12
        assert found.bound >= share @ distances.min(axis=0) - 1e-12


def test_the_bound_is_close_where_points_lie_in_space():
    rng = np.random.default_rng(0)
    distances = np.linalg.norm(rng.random((40, 1, 3)) - rng.random((1, 60, 3)), axis=2)
    found = certify(distances, np.ones(60), cover(distances, np.ones(60), 3))
    best = least(distances, np.ones(60), 3)
    assert 0.97 * best <= found.bound <= best <= found.distance


def test_a_choice_that_serves_every_column_best_is_proved_to():
    distances = np.array([[0.0, 9.0], [9.0, 0.0], [1.0, 1.0]])
    found = certify(distances, np.ones(2), np.array([1, 0]))
    assert found.distance == found.bound == 0
