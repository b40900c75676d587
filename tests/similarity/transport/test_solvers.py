"""The two solvers of the Earth Mover's Distance beside each other, on problems of every awkward kind."""

from __future__ import annotations

import numpy as np
import pytest

from similarity import emd, rank_domains
from similarity.transport import earth_movers_distance as transport


def clouds(kind: str, sources: int, targets: int, seed: int = 0):
    """Points and weights of both sides."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(sources, 12)), rng.normal(size=(targets, 12)) + 0.5
    a, b = rng.pareto(1.2, sources) + 0.01, rng.pareto(1.5, targets) + 0.01
    if kind == "unit length":
        x, y = (points / np.linalg.norm(points, axis=1, keepdims=True) for points in (x, y))
    elif kind == "duplicates":
        x, y = x[rng.integers(0, sources // 4, sources)], y[rng.integers(0, max(1, targets // 3), targets)]
    elif kind == "on each other":
        x = y[rng.integers(0, targets, sources)]
    elif kind == "one heavy source":
        a[0] = 5 * a.sum()
    elif kind == "one heavy target":
        b[-1] = 50 * b.sum()
    elif kind == "zero weights":
        a[::3], b[2::4] = 0, 0
    elif kind == "far from the origin":
        x, y = x + 1e4, y + 1e4
    elif kind == "tiny":
        x, y = 1e-9 * x, 1e-9 * y
    return x, a, y, b


KINDS = (
    "plain", "unit length", "duplicates", "on each other", "one heavy source", "one heavy target", "zero weights",
    "far from the origin", "tiny",
)  # fmt: skip


def certified(result, x, a, y, b):
    """What a result claims, checked from the points: feasible plan, feasible potentials, its cost and its bound."""
    a, b = a / a.sum(), b / b.sum()
    plan = result.plan.toarray()
    costs = np.linalg.norm(x[:, None] - y[None], axis=2)
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), a, atol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), b, atol=1e-9)
    scale = costs.max()
    assert result.value == result.upper_bound == pytest.approx((plan * costs).sum(), rel=1e-9, abs=1e-12 * scale)
    u, v = result.source_potentials, result.target_potentials
    assert (u[:, None] + v[None] - costs).max() <= 1e-9 * scale
    assert result.lower_bound <= max(0, a @ u + b @ v) + 1e-9 * scale
    assert 0 <= result.lower_bound <= result.upper_bound


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("sources", "targets"), [(300, 40), (40, 300), (150, 2)])
def test_the_bounds_hold_the_exact_distance(kind, sources, targets):
    problem = clouds(kind, sources, targets)
    exact, bounded = (emd(*problem, solver=solver) for solver in ("network-simplex", "semi-dual"))
    assert (exact.solver, bounded.solver) == ("network-simplex", "semi-dual")
    certified(exact, *problem)
    certified(bounded, *problem)
    room = 1e-9 * max(exact.value, 1e-12)
    assert bounded.lower_bound <= exact.value + room and exact.value <= bounded.upper_bound + room
    if exact.value > 1e-6 * np.abs(problem[0]).max():
        assert bounded.gap <= transport.GAP


def test_a_smaller_gap_is_reached_when_it_is_asked_for():
    problem = clouds("plain", 2000, 60)
    exact = emd(*problem, solver="network-simplex").value
    for gap in (1e-2, 1e-3, 1e-4):
        found = emd(*problem, solver="semi-dual", gap=gap)
        assert found.gap <= gap and found.lower_bound <= exact <= found.upper_bound * (1 + 1e-12)


def test_a_sample_of_the_rows_begins_where_there_are_many():
    """Above 65,536 rows a sample is solved by ascent first."""
    problem = clouds("unit length", 70_000, 20)
    found = emd(*problem, solver="semi-dual")
    assert found.gap <= transport.GAP
    a, b = (weights / weights.sum() for weights in (problem[1], problem[3]))
    np.testing.assert_allclose(np.asarray(found.plan.sum(axis=1)).ravel(), a, atol=1e-9)
    np.testing.assert_allclose(np.asarray(found.plan.sum(axis=0)).ravel(), b, atol=1e-9)
    drawn = np.random.default_rng(0).choice(70_000, 500, replace=False)
    costs = np.linalg.norm(problem[0][drawn][:, None] - problem[2][None], axis=2)
    assert (found.source_potentials[drawn][:, None] + found.target_potentials - costs).max() <= 1e-9
    dual = a @ found.source_potentials + b @ found.target_potentials
    assert found.lower_bound == pytest.approx(dual, rel=1e-9)


def test_the_laws():
    x, a, y, b = clouds("plain", 400, 30)
    found = emd(x, a, y, b, solver="semi-dual")
    assert emd(x, a, y, b, solver="semi-dual").value == found.value  # nothing is drawn anew
    order = np.random.default_rng(1).permutation(len(x))
    swapped, moved, scaled = (
        emd(*given, solver="semi-dual")
        for given in ((y, b, x, a), (x[order], a[order], y, b), (1000 * x, 7 * a, 1000 * y, b))
    )
    for other, unit in ((swapped, 1), (moved, 1), (scaled, 1000)):
        assert other.lower_bound <= unit * found.upper_bound and unit * found.lower_bound <= other.upper_bound
    assert swapped.plan.shape == (30, 400)


def test_the_size_decides(monkeypatch, make_bank):
    x, a, y, b = clouds("plain", 60, 20)
    assert emd(x, a, y, b).solver == "network-simplex"
    exact = emd(x, a, y, b).value
    for name, limit in (("EXACT_PAIRS", 60 * 20 - 1), ("EXACT_POINTS", 79)):
        with monkeypatch.context() as patch:
            patch.setattr(transport, name, limit)
            found = emd(x, a, y, b)
            assert found.solver == "semi-dual" and found.lower_bound <= exact <= found.upper_bound * (1 + 1e-12)
            assert emd(x[:1], a[:1], y, b).solver == "single-class"
            ranking = rank_domains(make_bank(y, dataset="t"), [make_bank(x, dataset="s")], bootstrap=5)
            domain = ranking.to_json()["domains"][0]
            assert domain["solver"] == "semi-dual" and domain["interval"] == [None, None]
            assert domain["emd_bounds"][0] <= domain["emd"] == domain["emd_bounds"][1]
        monkeypatch.setattr(transport, name, 60 * 20 if name == "EXACT_PAIRS" else 80)
        assert emd(x, a, y, b).solver == "network-simplex"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"solver": "sinkhorn"}, "`solver` must be auto, network-simplex or semi-dual, got 'sinkhorn'"),
        ({"gap": 0.0}, "`gap` must be between 0 and 1, got 0.0"),
        ({"gap": float("nan")}, "`gap` must be between 0 and 1, got nan"),
    ],
)
def test_what_cannot_be_asked_for(given, message):
    with pytest.raises(ValueError) as refusal:
        emd(*clouds("plain", 5, 4), **given)
    assert str(refusal.value) == message
