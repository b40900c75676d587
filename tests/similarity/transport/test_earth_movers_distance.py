"""The Earth Mover's Distance against linear programming, and its laws."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from similarity import emd, similarity


def problem(seed, n_sources=8, n_targets=6, width=4):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n_sources, width)),
        rng.integers(1, 50, n_sources),
        rng.standard_normal((n_targets, width)) + 0.5,
        rng.integers(1, 50, n_targets),
    )


def linear_program(x, a, y, b):
    """The same problem, written out for SciPy's HiGHS."""
    n, m = len(x), len(y)
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    solution = linprog(
        cdist(x, y).ravel(),
        A_eq=np.vstack([rows, columns]),
        b_eq=np.concatenate([a / a.sum(), b / b.sum()]),
        method="highs",
    )
    assert solution.success
    return solution.fun


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("shape", [(8, 6), (3, 11), (1, 5), (5, 1), (2, 2)])
def test_agrees_with_linear_programming(seed, shape):
    x, a, y, b = problem(seed, *shape)
    result = emd(x, a, y, b)
    assert result.value == pytest.approx(linear_program(x, a, y, b), rel=1e-7)  # HiGHS' own tolerance


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_pyemd(seed):
    pyemd = pytest.importorskip("pyemd", reason="pyemd, the solver behind the paper's figures, is not installed")
    x, a, y, b = problem(seed, 40, 25)
    points, weights = np.vstack([x, y]), np.zeros((2, 65))
    weights[0, :40], weights[1, 40:] = a / a.sum(), b / b.sum()
    expected = pyemd.emd(*weights, cdist(points, points))
    assert emd(x, a, y, b).value == pytest.approx(expected, rel=1e-5)  # it works in 6 digits of the masses


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_assignment(seed):
    """Equal weights and as many points: some one-to-one plan is optimal (Birkhoff)."""
    x, _, y, _ = problem(seed, 50, 50)
    costs = cdist(x, y)
    expected = costs[linear_sum_assignment(costs)].mean()
    assert emd(x, np.ones(50), y, np.ones(50)).value == pytest.approx(expected, rel=1e-12)


def test_agrees_with_the_closed_form_on_a_line():
    x, a, y, b = problem(0, 30, 20, 1)
    assert emd(x, a, y, b).value == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0], a, b), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_evidence_holds(seed):
    x, a, y, b = problem(seed, 30, 20)
    a[:3] = 0
    b[5:7] = 0
    result = emd(x, a, y, b)
    costs = cdist(x, y)
    plan = result.plan.toarray()
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), a / a.sum(), atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), b / b.sum(), atol=1e-12)
    np.testing.assert_allclose(result.distances.data, costs[result.plan.tocoo().coords], rtol=1e-12)
    assert (plan * costs).sum() == pytest.approx(result.value, rel=1e-12) == result.upper_bound
    u, v = result.source_potentials, result.target_potentials
    assert (u[:, None] + v[None, :] <= costs + 1e-12).all()  # of all points, those of weight 0 too
    assert u @ a / a.sum() + v @ b / b.sum() == pytest.approx(result.lower_bound, rel=1e-12)
    assert result.lower_bound <= result.value
    assert result.value - result.lower_bound < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_distance_to_itself_is_zero(seed):
    x, a, _, _ = problem(seed)
    result = emd(x, a, x, a)
    assert result.value == 0
    assert result.lower_bound == 0


def test_symmetric():
    x, a, y, b = problem(3)
    there, back = emd(x, a, y, b), emd(y, b, x, a)
    assert there.value == pytest.approx(back.value, rel=1e-12)


def test_translation_changes_nothing_and_scale_scales():
    x, a, y, b = problem(4)
    value = emd(x, a, y, b).value
    assert emd(x + 9, a, y + 9, b).value == pytest.approx(value, rel=1e-12)
    assert emd(5 * x, a, 5 * y, b).value == pytest.approx(5 * value, rel=1e-12)
    assert emd(x, 7 * a, y, b / 3).value == pytest.approx(value, rel=1e-12)


def test_translating_one_side_adds_at_most_the_shift():
    x, a, _, _ = problem(5)
    shift = np.array([3.0, 4.0, 0.0, 0.0])
    assert emd(x, a, x + shift, a).value == pytest.approx(5.0, rel=1e-12)


def test_triangle_inequality():
    x, a, y, b = problem(6)
    z, c, _, _ = problem(7)
    assert emd(x, a, z, c).value <= emd(x, a, y, b).value + emd(y, b, z, c).value + 1e-12


def test_order_changes_nothing():
    x, a, y, b = problem(8)
    order = np.random.default_rng(0).permutation(len(x))
    result, shuffled = emd(x, a, y, b), emd(x[order], a[order], y, b)
    assert shuffled.value == pytest.approx(result.value, rel=1e-12)


def test_splitting_a_class_in_two_changes_nothing():
    x, a, y, b = problem(9)
    split = np.concatenate([a, [a[0] - 1]])
    split[0] = 1
    assert emd(np.vstack([x, x[:1]]), split, y, b).value == pytest.approx(emd(x, a, y, b).value, rel=1e-12)


def test_classes_of_weight_zero_change_nothing():
    x, a, y, b = problem(10)
    result = emd(np.vstack([y[:2], x]), np.concatenate([[0, 0], a]), y, b)
    assert result.value == pytest.approx(emd(x, a, y, b).value, rel=1e-12)
    assert result.plan.shape == (len(x) + 2, len(y))
    assert result.plan[[0, 1]].sum() == 0


def test_one_target_class_is_the_weighted_mean_distance():
    x, a, y, _ = problem(11)
    result = emd(x, a, y[:1], np.array([5]))
    assert result.value == pytest.approx(np.average(cdist(x, y[:1])[:, 0], weights=a), rel=1e-12)
    assert result.solver == "single-class"
    # The same where weights of zero leave one class.
    weights = np.zeros(len(y))
    weights[0] = 5
    assert emd(x, a, y, weights).value == pytest.approx(result.value, rel=1e-12)


def test_float32_points_are_solved_in_float64():
    x, a, y, b = problem(12)
    x, y = x.astype(np.float32), y.astype(np.float32)
    assert emd(x, a, y, b).value == pytest.approx(emd(x.astype(float), a, y.astype(float), b).value, rel=1e-14)


def test_many_equal_points():
    x = np.repeat(np.eye(3), 20, axis=0)
    assert emd(x, np.ones(60), np.eye(3), np.ones(3)).value == 0


def test_a_solver_that_stops_early_is_an_error_not_a_figure(monkeypatch):
    monkeypatch.setattr("similarity.transport.network_simplex.MAX_ITERATIONS", 3)
    x, a, y, b = problem(13, 60, 50)
    with pytest.raises(RuntimeError, match="60 × 50 was not solved"):
        emd(x, a, y, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_weights": np.array([1.0, np.nan])}, "`source_weights` must be finite"),
        ({"source_weights": np.array([1.0, -2.0])}, "`source_weights` must not be negative, got -2"),
        ({"source_weights": np.array([0.0, 0.0])}, "`source_weights` must not all be zero"),
        ({"target_weights": np.ones(3)}, r"`target_weights` must have shape \(2,\).*got \(3,\)"),
        ({"target_points": np.array([[0.0, np.inf], [0.0, 1.0]])}, "`target_points` must be finite"),
        ({"target_points": np.zeros((2, 3))}, "one width, got 2 and 3"),
        ({"source_points": np.zeros(2)}, r"`source_points` must be \(classes, width\).*got shape \(2,\)"),
        ({"source_points": np.zeros((0, 2)), "source_weights": np.zeros(0)}, "at least one class"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {
        "source_points": np.eye(2),
        "source_weights": np.ones(2),
        "target_points": np.eye(2) + 1,
        "target_weights": np.ones(2),
    }
    with pytest.raises(ValueError, match=message):
        emd(**{**arguments, **change})


def test_similarity_is_the_papers():
    assert similarity(0.0) == 1
    assert similarity(20.0) == pytest.approx(np.exp(-0.2))
    assert similarity(20.0, gamma=1.0) == pytest.approx(np.exp(-20))
