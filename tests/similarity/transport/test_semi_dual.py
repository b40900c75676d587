"""What the bounds of the semi-dual rest on: distances that are never too large, potentials, pairs, plans."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from similarity import emd
from similarity.transport import earth_movers_distance as transport
from similarity.transport import rounding
from similarity.transport import semi_dual as semidual
from similarity.transport.cost_blocks import GroundCosts, c_transform
from similarity.transport.rounding import feasible_plan
from similarity.transport.semi_dual import semi_dual


def awkward(kind: str, rows: int, columns: int, width: int = 16):
    """Points of both sides that float32 finds hard, or that tie."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(rows, width)), rng.normal(size=(columns, width))
    if kind == "offset":
        x, y = x + 1e6, y + 1e6
    elif kind == "apart":
        x = x + 1e4
    elif kind == "outliers":
        x[0], y[0] = 1e6 * x[0], 1e5 * y[0]
    elif kind == "clusters":  # columns nearer to each other than float32 can tell
        y = y[rng.integers(0, 5, columns)] + 1e-6 * y
    elif kind == "grid":
        x, y = np.round(x), np.round(y)
    elif kind == "coincide":
        x = y[rng.integers(0, columns, rows)]
    elif kind == "almost coincide":
        x = y[rng.integers(0, columns, rows)] + 1e-5 * x
    elif kind == "one point":
        x, y = np.ones_like(x), np.ones_like(y)
    elif kind == "large":
        x, y = 1e25 * x, 1e25 * y
    elif kind == "line":
        x, y = x[:, :1], y[:, :1]
    elif kind == "float32":
        x, y = x.astype(np.float32), y.astype(np.float32)
    return x, y


KINDS = ("offset", "apart", "outliers", "clusters", "grid", "coincide", "almost coincide", "one point", "large", "line",
         "float32")  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_distances_of_blocks_are_never_too_large(kind, dtype):
    x, y = awkward(kind, 300, 50)
    costs, truth = GroundCosts(x, y, dtype), cdist(x, y)
    found = np.concatenate([block for _, block in costs.blocks()]) * costs.unit
    assert (found <= truth * (1 + 1e-13)).all()
    # and no more than the bound on the round-off says
    far = np.maximum(*np.meshgrid(*(np.linalg.norm(p - y.mean(axis=0), axis=1) for p in (x, y)), indexing="ij"))
    assert (truth**2 - found.astype(np.float64) ** 2 <= 100 * x.shape[1] * np.finfo(dtype).eps * far**2).all()


def test_width_does_not_break_the_bound():
    """All coordinates positive: the round-off of 4,096 products adds up instead of cancelling."""
    rng = np.random.default_rng(0)
    x, y = rng.random((200, 4096)) ** 8 + 5 * rng.random((200, 1)), rng.random((30, 4096)) ** 8
    costs = GroundCosts(x, y)
    assert all((block * costs.unit <= cdist(x, y)[place]).all() for place, block in costs.blocks())


@pytest.mark.parametrize("spread", [0, 1])
@pytest.mark.parametrize("most", [3, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_potentials_are_feasible_and_the_largest(kind, most, spread):
    x, y = awkward(kind, 400, 60)
    costs, truth = GroundCosts(x, y), cdist(x, y)
    v = spread * np.random.default_rng(2).normal(size=60) * truth.mean() / costs.unit
    pairs = costs.near_pairs(v, 0.2 * truth.mean() / costs.unit, most)
    transform = (truth / costs.unit - v).min(axis=1)
    scale = truth.max() / costs.unit + np.abs(v).max()
    assert (pairs.row_potentials <= transform + 1e-15 * scale).all()
    assert pairs.row_potentials == pytest.approx(transform, abs=5e-3 * scale if kind == "clusters" else 1e-5 * scale)
    whole = c_transform(x, y, v * costs.unit) / costs.unit
    assert (whole <= transform + 1e-15 * scale).all()
    assert whole == pytest.approx(transform, abs=5e-3 * scale)


def test_what_is_near_is_listed():
    x, y = awkward("plain", 500, 80)
    costs = GroundCosts(x, y)
    v = 0.1 * np.random.default_rng(3).normal(size=80)
    pairs = costs.near_pairs(v, 0.05, 1000)
    reduced = cdist(x, y) / costs.unit - v
    expected = reduced <= reduced.min(axis=1, keepdims=True) + 0.05 - 1e-5
    listed = np.zeros_like(expected)
    listed[pairs.rows(), pairs.columns] = True
    assert listed[expected].all()
    assert listed.sum() <= (reduced <= reduced.min(axis=1, keepdims=True) + 0.05 + 1e-5).sum()
    assert pairs.reduced == pytest.approx(reduced[listed], abs=1e-5)
    # A row has at most as many as it may have, and those the nearest; but for rows that are exempt.
    exempt = np.arange(500) == 7
    few = costs.near_pairs(v, 10.0, 6, exempt)
    counts = np.diff(few.starts)
    assert counts[7] == 80 and (np.delete(counts, 7) == 6).all()
    kept = np.zeros_like(expected)
    kept[few.rows(), few.columns] = True
    for i in (0, 250, 499):
        assert reduced[i][kept[i]].max() <= reduced[i][~kept[i]].min() + 1e-5


def test_columns_may_be_many(monkeypatch):
    x, y = awkward("plain", 40, 200)
    v = np.random.default_rng(4).normal(size=200)
    whole = c_transform(x, y, v)
    monkeypatch.setattr("similarity.transport.cost_blocks._COLUMNS", 33)
    assert c_transform(x, y, v) == pytest.approx(whole, abs=1e-4)
    assert (c_transform(x, y, v) <= (cdist(x, y) - v).min(axis=1) + 1e-14).all()


def test_a_block_at_a_time_and_all_at_once_are_the_same(monkeypatch):
    x, y = awkward("plain", 500, 60)
    kept = GroundCosts(x, y)
    expected = kept.near_pairs(np.zeros(60), 0.1, 20)
    monkeypatch.setattr("similarity.transport.cost_blocks._KEPT", 0)
    monkeypatch.setattr("similarity.transport.cost_blocks._BLOCK", 60 * 64)
    for _ in range(2):
        found = GroundCosts(x, y).near_pairs(np.zeros(60), 0.1, 20)
        assert (found.columns == expected.columns).all() and (found.starts == expected.starts).all()
        assert found.row_potentials == pytest.approx(expected.row_potentials, rel=1e-14)
    again = kept.near_pairs(np.zeros(60), 0.1, 20)  # the distances that are kept have not been written to
    assert (again.reduced == expected.reduced).all()


def smoothed(x, y, a, b, smoothing, v):
    """A plan that only its rows fit."""
    costs = GroundCosts(x, y)
    pairs = costs.near_pairs(v, 10.0, len(y))
    reduced = cdist(x, y) / costs.unit - v
    shares = np.exp((reduced.min(axis=1, keepdims=True) - reduced) / smoothing)
    plan = a[:, None] * shares / shares.sum(axis=1, keepdims=True)
    return costs, pairs, plan[pairs.rows(), pairs.columns]


@pytest.mark.parametrize("smoothing", [0.003, 0.03, 0.3])
@pytest.mark.parametrize("at_a_time", [16_000, 37])
def test_any_smoothed_plan_becomes_feasible(smoothing, at_a_time, monkeypatch):
    monkeypatch.setattr(rounding, "_MOST_MOVED", at_a_time)
    monkeypatch.setattr(rounding, "_LEAST_MOVED", 20)
    x, y = awkward("plain", 400, 30)
    rng = np.random.default_rng(5)
    a, b = (weights / weights.sum() for weights in (rng.pareto(1, 400) + 0.1, rng.pareto(1, 30) + 0.1))
    v = 0.05 * rng.normal(size=30)
    costs, pairs, mass = smoothed(x, y, a, b, smoothing, v)
    plan = feasible_plan(costs, pairs, mass, v, a, b)
    assert (plan.mass > 0).all()
    assert np.bincount(plan.rows, plan.mass) == pytest.approx(a, abs=1e-15)
    assert np.bincount(plan.columns, plan.mass) == pytest.approx(b, abs=1e-15)
    assert len(set(zip(plan.rows.tolist(), plan.columns.tolist(), strict=True))) == len(plan.rows)
    truth = cdist(x, y)
    assert plan.distances * costs.unit == pytest.approx(truth[plan.rows, plan.columns], rel=1e-12)
    assert plan.cost * costs.unit >= emd(x, a, y, b).value * (1 - 1e-12)


def test_what_is_right_already_is_hardly_touched():
    """Of a plan whose columns fit only the rows that change most easily are moved, and not to a higher cost."""
    x, y = awkward("plain", 3000, 30)
    a = np.full(3000, 1 / 3000)
    costs, pairs, mass = smoothed(x, y, a, None, 1e-3, np.zeros(30))
    b = np.bincount(pairs.columns, mass)
    plan = feasible_plan(costs, pairs, mass, np.zeros(30), a, b)
    assert plan.cost <= mass @ costs.of_pairs(pairs.rows(), pairs.columns) * (1 + 1e-9)
    assert len(plan.mass) < 1.1 * 3000


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_hold_the_exact_distance(kind):
    x, y = awkward(kind, 3500, 60)  # more rows than the sample that is solved exactly has
    rng = np.random.default_rng(6)
    a, b = rng.integers(1, 50, 3500), rng.integers(1, 50, 60)
    exact = emd(x, a, y, b, solver="network-simplex") if kind != "large" else emd(x / 1e25, a, y / 1e25, b)
    unit = 1e25 if kind == "large" else 1.0
    found = emd(x, a, y, b, solver="semi-dual")
    room = 1e-13 * unit * cdist(x / unit, y / unit).max()  # the exact value's own round-off
    assert found.lower_bound <= unit * exact.value + room
    assert found.upper_bound >= unit * exact.value - room
    assert found.gap <= transport.GAP or found.upper_bound <= room


def test_distances_that_float32_cannot_tell_from_none_are_solved_in_float64():
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(5, 64))
    x, y = (centres[rng.integers(0, 5, count)] + 1e-4 * rng.normal(size=(count, 64)) for count in (4000, 100))
    a, b = (
        np.bincount(np.argmin(cdist(side, centres), axis=1))[np.argmin(cdist(side, centres), axis=1)] for side in (x, y)
    )
    a, b = 1 / a, 1 / b  # each centre has one fifth on both sides: nothing goes from one to another
    exact = emd(x, a, y, b, solver="network-simplex").value
    assert exact < 1e-2 < GroundCosts(x, y).resolution * GroundCosts(x, y).unit
    found = emd(x, a, y, b, solver="semi-dual")
    assert found.gap <= transport.GAP
    assert found.lower_bound <= exact * (1 + 1e-9) and exact <= found.upper_bound * (1 + 1e-9)


def test_a_systematic_sample_keeps_the_weight_of_regions():
    rng = np.random.default_rng(10)
    regions, weights = rng.integers(0, 20, 5000), rng.pareto(1, 5000) + 0.1
    weights /= weights.sum()
    drawn, shares = semidual._systematic_sample(regions, weights, 400)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    error = np.bincount(regions[drawn], shares, minlength=20) - np.bincount(regions, weights, minlength=20)
    assert np.abs(error).max() <= 1 / 400
    assert np.abs(shares - weights[drawn]).max() <= 1 / 400  # the heavy ones are drawn as often as they weigh
    everything, as_they_are = semidual._systematic_sample(regions, weights, 5000)
    assert (everything == np.arange(5000)).all() and (as_they_are == weights).all()


def test_more_columns_than_are_solved_exactly(monkeypatch):
    x, y = awkward("plain", 1500, 300)
    monkeypatch.setattr(semidual, "_EXACT_COLUMNS", 50)
    monkeypatch.setattr(semidual, "_EXACT_ROWS", 150)
    exact, found = emd(x, np.ones(1500), y, np.ones(300)), emd(x, np.ones(1500), y, np.ones(300), solver="semi-dual")
    assert found.lower_bound <= exact.value <= found.upper_bound * (1 + 1e-12)
    assert found.gap <= transport.GAP


def test_a_sample_begins_and_ends_at_the_same_bounds(monkeypatch):
    x, y = awkward("plain", 3000, 40)
    rng = np.random.default_rng(8)
    a, b = rng.pareto(1, 3000) + 0.1, rng.pareto(1, 40) + 0.1
    exact = emd(x, a, y, b).value
    monkeypatch.setattr(semidual, "_SAMPLE", 700)
    monkeypatch.setattr(semidual, "_EXACT_ROWS", 200)
    found = emd(x, a, y, b, solver="semi-dual")
    assert found.lower_bound <= exact <= found.upper_bound * (1 + 1e-12)
    assert found.gap <= transport.GAP


def test_zero_weights_on_the_smaller_side_have_potentials():
    x, y = awkward("plain", 1000, 50)
    a, b = np.ones(1000), np.ones(50)
    a[:300], b[::2] = 0, 0
    for found, costs in (
        (emd(x, a, y, b, solver="semi-dual"), cdist(x, y)),
        (emd(y, b, x, a, solver="semi-dual"), cdist(y, x)),
    ):
        slack = costs - found.source_potentials[:, None] - found.target_potentials
        assert slack.min() >= -1e-12
        # Each point without weight is near to having no slack at all: its potential is worth having.
        without = slack[:, ::2] if len(costs) == 1000 else slack[::2].T
        assert without.min(axis=0).max() <= 1e-3


def test_rounds_that_do_not_do_return_honest_bounds(monkeypatch, recwarn):
    monkeypatch.setattr(semidual, "_ROUNDS", 1)
    monkeypatch.setattr(semidual, "_EXACT_ROWS", 40)
    x, y = awkward("plain", 600, 300)
    found, exact = (
        emd(x, np.ones(600), y, np.ones(300), solver="semi-dual", gap=1e-6),
        emd(x, np.ones(600), y, np.ones(300)),
    )
    assert found.gap > 1e-6
    assert found.gap == (found.upper_bound - found.lower_bound) / found.upper_bound
    assert found.lower_bound < exact.value <= found.upper_bound * (1 + 1e-12)
    assert not recwarn.list


def test_a_solver_that_stops_early_is_an_error_not_a_figure(monkeypatch):
    monkeypatch.setattr("similarity.transport.network_simplex.MAX_ITERATIONS", 3)
    x, y = awkward("plain", 400, 60)
    with pytest.raises(RuntimeError, match="was not solved"):
        emd(x, np.ones(400), y, np.ones(60), solver="semi-dual")


def test_what_the_solution_says_is_in_the_units_of_the_points():
    x, y = awkward("plain", 500, 20)
    a, b = np.full(500, 1 / 500), np.full(20, 1 / 20)
    for unit in (1.0, 2.0**40, 2.0**-40):
        plan, potentials, _ = semi_dual(unit * x, a, unit * y, b, gap=1e-3)
        one, of_one, _ = semi_dual(x, a, y, b, gap=1e-3)
        assert plan.cost == unit * one.cost  # powers of two round nothing
        assert (potentials == unit * of_one).all()


@pytest.mark.parametrize(
    ("sources", "targets", "solver"),
    [(10_000, 1_000, "network-simplex"), (10_001, 1_000, "semi-dual"), (20_001, 2, "semi-dual"),
     (2, 20_001, "semi-dual"), (30_000, 1, "network-simplex"), (5_000, 2_001, "network-simplex"),
     (5_000, 2_000, "network-simplex"), (5_001, 2_000, "semi-dual")],
)  # fmt: skip
def test_which_sizes_are_exact(sources, targets, solver, monkeypatch):
    chosen = []

    def stop(name):
        def stopped(*_):
            chosen.append(name)
            raise InterruptedError

        return stopped

    monkeypatch.setattr(transport, "_exact", stop("network-simplex"))
    monkeypatch.setattr(transport, "_bounded", stop("semi-dual"))
    with pytest.raises(InterruptedError):
        emd(np.zeros((sources, 1)), np.ones(sources), np.zeros((targets, 1)), np.ones(targets))
    assert chosen == [solver]


def test_both_solvers_agree_at_the_switch():
    """The first size that is not exact any more, in few dimensions: 20,001 points."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(19_996, 3)), rng.normal(size=(5, 3)) + 0.5
    a, b = rng.integers(1, 100, 19_996), rng.integers(1, 100, 5)
    at_switch = emd(x[:-1], a[:-1], y, b)
    beyond = emd(x, a, y, b)
    exact = emd(x, a, y, b, solver="network-simplex").value
    assert (at_switch.solver, beyond.solver) == ("network-simplex", "semi-dual")
    assert beyond.lower_bound <= exact <= beyond.upper_bound * (1 + 1e-12)
    assert beyond.gap <= transport.GAP
    assert beyond.value == pytest.approx(at_switch.value, rel=1e-2)  # one class of twenty thousand is no jump
