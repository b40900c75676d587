"""Semi-relaxed transport: against a linear program, and below every weighting of the source."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from similarity import emd
from similarity.transport.semi_relaxed import semi_relaxed


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.standard_normal((7, 3)), rng.standard_normal((4, 3)), np.array([1, 5, 2, 2])


def test_the_linear_program_has_the_same_value(points):
    x, y, weights = points
    costs, share = cdist(x, y), weights / weights.sum()
    columns = np.kron(np.ones((1, 7)), np.eye(4))  # the sum over each column of the plan
    solved = linprog(costs.ravel(), A_eq=columns, b_eq=share, bounds=(0, None))
    found = semi_relaxed(x, y, weights)
    assert found.value == pytest.approx(solved.fun, rel=1e-9)
    assert found.lower_bound == found.upper_bound == found.value
    np.testing.assert_allclose(found.plan.sum(axis=0), share)
    np.testing.assert_allclose(
        found.distances.toarray()[found.plan.toarray() > 0],
        costs.min(axis=0)[[0, 1, 2, 3]][np.argsort(costs.argmin(axis=0), kind="stable")],
    )
    assert (found.source_potentials[:, None] + found.target_potentials <= costs + 1e-12).all()


def test_no_weighting_of_the_source_is_nearer_and_its_own_reaches_it(points):
    x, y, weights = points
    found = semi_relaxed(x, y, weights)
    rng = np.random.default_rng(1)
    for _ in range(20):
        assert emd(x, rng.random(7) + 1e-3, y, weights).value >= found.value - 1e-9
    used = found.plan.sum(axis=1)
    kept = used > 0
    assert emd(x[kept], used[kept], y, weights).value == pytest.approx(found.value, rel=1e-9)
