"""Weighted tau against its definition."""

import numpy as np
import pytest

from similarity.measures import rank_correlation


def defined(x, y):
    """Σ over pairs of (w_i + w_j)·agreement, w by the rank of one side, then of the other, averaged."""
    found = []
    for by in (x, y):
        rank = np.argsort(np.argsort(-by))
        weight = 1 / (rank + 1)
        pairs = [(i, j) for i in range(len(x)) for j in range(i)]
        total = sum(weight[i] + weight[j] for i, j in pairs)
        found.append(sum((weight[i] + weight[j]) * np.sign((x[i] - x[j]) * (y[i] - y[j])) for i, j in pairs) / total)
    return np.mean(found)


def test_against_the_definition():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(9)
    y = x + rng.standard_normal(9)
    assert rank_correlation(x, y) == pytest.approx(defined(x, y), rel=1e-12)
    assert rank_correlation(-x, y, direction="lower") == pytest.approx(defined(x, y), rel=1e-12)


def test_mistakes_at_the_top_cost_most():
    truth = np.arange(6.0)
    assert rank_correlation(truth**3, truth) == pytest.approx(1)
    assert rank_correlation(-truth, truth) == pytest.approx(-1)
    assert rank_correlation([0, 1, 2, 3, 5, 4], truth) < rank_correlation([1, 0, 2, 3, 4, 5], truth) < 1


def test_one_value_is_no_order():
    assert np.isnan(rank_correlation([1, 1, 1], [0.1, 0.2, 0.3]))


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"one length, at least 2, got shapes \(2,\) and \(3,\)"):
        rank_correlation([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="must be finite"):
        rank_correlation([1, np.nan], [1, 2])
    with pytest.raises(ValueError, match="'higher' or 'lower', got 'up'"):
        rank_correlation([1, 2], [1, 2], direction="up")
