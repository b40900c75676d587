"""Earth Mover's Distance between sets too large for an exact solver, with bounds.

With costs c, row weights a and column weights b, any potentials v of the columns certify the lower bound

    g(v) = Σ_i a_i·min_j (c_ij − v_j) + Σ_j b_j·v_j,

the semi-dual, whose unknowns are those of the smaller side (Cuturi and Peyré, SIAM Review 2018; Genevay et al., NeurIPS
2016, for millions of rows). Its largest value is the distance, and any feasible plan costs at least as much. Here:

1. A sample of rows, systematic and in the order of the columns nearest to them, so that every region has its
   mass, is solved exactly. Its v is the start.
2. One pass over all pairs gives g(v), and the few pairs of each row that come near the least: all others have no
   mass in any plan that matters (Schmitzer, SIAM J. Sci. Comput. 2019).
3. On these pairs the semi-dual with its minimum smoothed, −ε·log Σ_j exp((v_j − c_ij)/ε), is maximised by L-BFGS. Its
   plan is a_i·softmax_j((v_j − c_ij)/ε): rounded to a feasible one it gives the upper bound
   (:mod:`similarity.transport.rounding`), and the next pass the lower one.
4. Until the bounds meet as nearly as asked, again, with less smoothing.

Far more rows than a sample needs go through 2 and 3 for the sample first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from similarity.transport.cost_blocks import GroundCosts, NearPairs
from similarity.transport.network_simplex import MAX_ITERATIONS, transport_plan
from similarity.transport.rounding import SparsePlan, feasible_plan

#: Rounds of ascent and certificate after which what was reached is returned.
_ROUNDS = 10
#: Rows of the sample that is solved by ascent, at least and for each column, and rounds spent on it.
_SAMPLE, _SAMPLED_A_COLUMN, _SAMPLE_ROUNDS = 32_768, 16, 2
#: Rows and columns of the problem that is solved exactly to begin with.
_EXACT_ROWS, _EXACT_COLUMNS = 3_000, 1_000
#: Columns that tell the regions which a sample is to cover.
_REGIONS = 128
#: Near pairs: on average a row at least, where that is fewer for a column than the second number more, up to the third;
#: no row has more than so many times the average, unless it weighs as much as the last number of columns.
_NEAR, _NEAR_A_COLUMN, _MOST_NEAR, _CROWDED, _HEAVY = 16, 200, 64, 4, 8
#: How far a potential may go in an ascent, in widths of the pairs that are near.
_REACH = 2.0
#: Smoothing to begin with, as a share of the distance, unless a larger gap will do. A round later it is a fourth of
#: the gap.
_SMOOTHING = 1e-3
#: Steps of one ascent, at most after many that brought nothing, and what a step has to gain in units of the smoothing.
_STEPS, _MOST_STEPS, _GAIN = 60, 500, 1e-5
#: Most units of the smoothing that a potential may go: exponentials stay in range.
_LARGEST = 300
#: Difference of bounds, in units of the costs, that may be round-off.
_ROUND_OFF = 1e-12
#: Distances that a block must be able to tell from none, beside the distance that is looked for.
_RESOLVED = 0.1

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SemiDualSolution:
    """Bounds of a transport distance and what proves them, in the units of the points.

    Attributes:
        plan: A feasible plan.
        row_potentials: (N,) u.
        column_potentials: (M,) v; u_i + v_j is at most the distance of i and j.
    """

    plan: SparsePlan
    row_potentials: _Array
    column_potentials: _Array


def semi_dual(
    rows: NDArray[np.floating],
    row_weights: _Array,
    columns: NDArray[np.floating],
    column_weights: _Array,
    *,
    gap: float,
    max_iterations: int = MAX_ITERATIONS,
) -> SemiDualSolution:
    """Bounds of the Earth Mover's Distance.

    Args:
        rows: (N, D) points of the larger side.
        row_weights: (N,) positive, sum 1.
        columns: (M, D) points of the smaller side, at least 2.
        column_weights: (M,) positive, sum 1.
        gap: Share of the upper bound by which the bounds may differ. They are returned as they are after 10 rounds.
        max_iterations: Pivots after which an exact problem gives up.

    Raises:
        RuntimeError: An exact problem was not finished.
    """
    a, b = row_weights, column_weights
    costs = GroundCosts(rows, columns)
    size = max(_SAMPLE, _SAMPLED_A_COLUMN * len(columns))
    sampled = len(rows) > 2 * size
    sample, weights, part = np.arange(len(rows)), a, costs
    if sampled:
        regions = GroundCosts(rows, columns[:: -(-len(columns) // _REGIONS)]).nearest()
        sample, weights = _systematic_sample(regions, a, size)
        part = costs.take(sample)
    v, value = _exact_start(part, weights, columns, b, max_iterations)
    if costs.resolution > _RESOLVED * value:
        costs = GroundCosts(rows, columns, np.float64)
    v, value = v - b @ v, max(value, costs.resolution) or 1.0  # near 0, potentials lose least to round-off
    smoothing, reach, steps = max(gap, _SMOOTHING), _REACH, _STEPS
    if sampled:
        part = costs.take(sample)
        for _ in range(_SAMPLE_ROUNDS):
            pairs = _near_pairs(part, v, weights)
            v, _ = _ascend(pairs, weights, b, smoothing * value, reach * pairs.width, steps, gap)

    best, plan, rounds = _near_pairs(costs, v, a), None, 0
    while True:
        v, mass = _ascend(best, a, b, smoothing * value, reach * best.width, steps, gap)
        rounded = feasible_plan(costs, best, mass, v, a, b, max_iterations=max_iterations)
        if plan is None or rounded.cost < plan.cost:
            plan, value = rounded, max(rounded.cost, costs.resolution) or 1.0
        pairs = _near_pairs(costs, v, a)
        if pairs.bound(a, b) > best.bound(a, b):
            best, reach = pairs, min(2 * reach, _REACH)
        else:  # the steps were too few, or pairs that are not listed had become the nearest
            steps, reach = min(2 * steps, _MOST_STEPS), reach / 4
        missing, rounds = plan.cost - best.bound(a, b), rounds + 1
        if missing <= max(gap * plan.cost, _ROUND_OFF) or rounds == _ROUNDS:
            break
        smoothing = max(missing / value, gap) / 4
    plan = replace(plan, distances=plan.distances * costs.unit, cost=plan.cost * costs.unit)
    return SemiDualSolution(plan, best.row_potentials * costs.unit, best.column_potentials * costs.unit)


def _near_pairs(costs: GroundCosts, potentials: _Array, row_weights: _Array) -> NearPairs:
    n_rows, n_columns = costs.shape
    pairs = min(max(_NEAR, _NEAR_A_COLUMN * n_columns // n_rows), _MOST_NEAR)
    heavy = row_weights * n_columns > _HEAVY
    return costs.near_pairs(potentials, costs.width_of(potentials, pairs), _CROWDED * pairs, heavy)


def _ascend(
    pairs: NearPairs,
    row_weights: _Array,
    column_weights: _Array,
    smoothing: float,
    reach: float,
    steps: int,
    astray: float,
) -> tuple[_Array, _Array]:
    """Maximise the smoothed semi-dual over the near pairs.

    A column that has no rows among the pairs could rise without end: beyond ``reach`` a steep penalty holds each v_j,
    Σ_j b_j·reach·t_j⁸/8 with t = (v − v₀)/reach, at whose t = 1 an empty column is in balance.

    Args:
        pairs: The pairs, and the potentials v₀ to begin with.
        row_weights: (N,) a.
        column_weights: (M,) b.
        smoothing: ε, in the unit of the costs.
        reach: How far a potential may go.
        steps: Steps after which it ends.
        astray: Share of the mass in the wrong column at which it ends.

    Returns:
        (M,) potentials and (P,) the smoothed plan.
    """
    shape = len(row_weights), len(column_weights)
    counts = np.diff(pairs.starts)
    reach = min(max(reach, smoothing), _LARGEST * smoothing) / smoothing
    beyond = ((pairs.reduced - np.repeat(pairs.least, counts)) / smoothing).astype(np.float64)
    kernel = csr_array((np.empty_like(beyond), pairs.columns, pairs.starts), shape=shape)
    ones = np.ones(shape[1])
    found_astray = np.inf

    def shares(change: _Array) -> tuple[_Array, _Array]:
        """Σ_j exp of each row, and what turns its exponentials into mass."""
        np.take(np.clip(change, -2 * reach, 2 * reach), pairs.columns, out=kernel.data)
        np.subtract(kernel.data, beyond, out=kernel.data)
        np.exp(kernel.data, out=kernel.data)
        sums = kernel @ ones
        return sums, row_weights / sums

    def descent(change: _Array) -> tuple[float, _Array]:
        """What the smoothed semi-dual lacks, and its gradient, both over ε; ``change`` is (v − v₀)/ε."""
        nonlocal found_astray
        sums, share = shares(change)
        surplus = share @ kernel - column_weights
        found_astray = np.abs(surplus).sum() / 2
        beside = change / reach
        penalty = np.sum(column_weights * beside**8) * reach / 8
        value = np.sum(row_weights * np.log(sums)) - np.sum(column_weights * change) + penalty
        return float(value), surplus + column_weights * beside**7

    def balanced(intermediate_result: OptimizeResult) -> None:
        if found_astray < astray:
            raise StopIteration

    options = {"maxiter": steps, "ftol": _GAIN, "gtol": 0}
    with threadpool_limits(1, "blas"):  # on vectors this short, threads wait for each other most of the time
        found = minimize(descent, np.zeros(shape[1]), jac=True, method="L-BFGS-B", callback=balanced, options=options)
    _, share = shares(found.x)
    return pairs.column_potentials + smoothing * found.x, kernel.data * np.repeat(share, counts)


def _exact_start(
    costs: GroundCosts, a: _Array, columns: NDArray[np.floating], b: _Array, max_iterations: int
) -> tuple[_Array, float]:
    """(M,) potentials of the exact solution between samples, and its cost."""
    regions, chosen, weights = costs.nearest(), np.arange(len(b)), b
    if len(b) > _EXACT_COLUMNS:
        anchors = columns[:: -(-len(b) // _REGIONS)]
        chosen, weights = _systematic_sample(GroundCosts(columns, anchors).nearest(), b, _EXACT_COLUMNS)
    sample, a = _systematic_sample(regions, a, _EXACT_ROWS)
    dense = costs.dense(sample, chosen)
    mass, v, _ = transport_plan(dense, a, weights, max_iterations=max_iterations)
    value = float((mass * dense).sum())
    if len(chosen) < len(b):
        u = (dense - v).min(axis=1)
        v = np.concatenate(
            [
                (costs.dense(sample, part) - u[:, None]).min(axis=0)
                for part in np.array_split(np.arange(len(b)), -(-len(b) // _EXACT_COLUMNS))
            ]
        )
    return v, value


def _systematic_sample(regions: NDArray[np.int64], weights: _Array, size: int) -> tuple[NDArray[np.int64], _Array]:
    """Every 1/size of the weight, region by region: what is drawn, and the weight that each stands for.

    Each region keeps its weight but for one part in ``size`` (systematic sampling: Madow, 1949).

    Args:
        regions: (N,) where each one lies.
        weights: (N,) sum 1.
        size: How many are drawn, those of a weight beyond 1/size more than once; all, if there are no more.
    """
    if size >= len(weights):
        return np.arange(len(weights)), weights
    order = np.argsort(regions, kind="stable")
    ends = np.cumsum(weights[order])
    steps = (np.arange(size) + 0.5) * (ends[-1] / size)
    drawn, counts = np.unique(order[np.minimum(np.searchsorted(ends, steps), len(order) - 1)], return_counts=True)
    return drawn, counts / size
