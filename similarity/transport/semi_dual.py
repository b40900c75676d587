"""The Earth Mover's Distance of sets that are too large for an exact solver, with bounds.

With costs c, row weights a and column weights b, any potentials v of the columns certify the lower bound

    g(v) = Σ_i a_i·min_j (c_ij − v_j) + Σ_j b_j·v_j,

the semi-dual, whose unknowns belong to the smaller side (Cuturi and Peyré, SIAM Review 2018; Genevay et al., NeurIPS
2016, for millions of rows). Its maximum is the distance, and any feasible plan costs at least as much. The steps are:

1. Solve a sample of rows exactly. The sample is systematic in the order of the nearest columns, so that every region
   keeps its mass. Its potentials v are the start.
2. Compute g(v) in one pass over all pairs, and list the few pairs of each row near its minimum. All other pairs carry
   no mass in a nearly optimal plan (Schmitzer, SIAM J. Sci. Comput. 2019).
3. Smooth the minimum over these pairs to −ε·log Σ_j exp((v_j − c_ij)/ε) and maximise the semi-dual by L-BFGS. Its plan
   is a_i·softmax_j((v_j − c_ij)/ε). Rounded to a feasible plan (:mod:`similarity.transport.rounding`), it gives the
   upper bound, and the next pass gives the lower bound.
4. Repeat 2 and 3 with less smoothing until the gap between the bounds is small enough.

If there are far more rows than a sample needs, steps 2 and 3 are applied to a sample first.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from similarity.transport.cost_blocks import GroundCosts, NearPairs
from similarity.transport.network_simplex import transport_plan
from similarity.transport.rounding import SparsePlan, feasible_plan

#: Largest number of rounds of ascent and certificate.
_ROUNDS = 10
#: Rows of the sample that is solved by ascent: at least _SAMPLE, or _SAMPLED_A_COLUMN per column; its rounds.
_SAMPLE, _SAMPLED_A_COLUMN, _SAMPLE_ROUNDS = 32_768, 16, 2
#: Largest numbers of rows and columns of the exact problem that gives the start.
_EXACT_ROWS, _EXACT_COLUMNS = 3_000, 1_000
#: Number of columns whose neighbourhoods are the regions that a sample covers.
_REGIONS = 128
#: Average number of near pairs of a row: at least _NEAR, enough for _NEAR_A_COLUMN per column, at most _MOST_NEAR.
_NEAR, _NEAR_A_COLUMN, _MOST_NEAR = 16, 200, 64
#: Largest number of near pairs of a row, in multiples of the average; it does not apply to heavy rows.
_CROWDED = 4
#: Weight of a heavy row, in multiples of the average weight of a column.
_HEAVY = 8
#: Largest change of a potential in one ascent, in widths of the near pairs.
_REACH = 2.0
#: Initial smoothing, as a share of the distance, unless the accepted gap is larger. Later it is a fourth of the gap.
_SMOOTHING = 1e-3
#: Steps of one ascent: at first, and at most after ascents that gained nothing; and the least gain of a step, over ε.
_STEPS, _MOST_STEPS, _GAIN = 60, 500, 1e-5
#: Largest change of a potential in units of the smoothing, so that exponentials stay in range.
_MAX_EXPONENT = 300
#: Gap between the bounds, in units of the costs, that may be round-off.
_ROUND_OFF = 1e-12
#: Largest resolution of float32 blocks, as a share of the transport distance.
_RESOLVED = 0.1

_Array = NDArray[np.float64]


def semi_dual(
    rows: NDArray[np.floating], a: _Array, columns: NDArray[np.floating], b: _Array, *, gap: float
) -> tuple[SparsePlan, _Array, _Array]:
    """Bound the Earth Mover's Distance from both sides.

    Args:
        rows, a: (N, D) points of the larger side, and (N,) their weights, positive, sum 1.
        columns, b: The same of the smaller side, (M, D) and (M,), at least 2 points.
        gap: Gap between the bounds at which the solver stops, as a share of the upper bound. It stops after 10 rounds
            in any case.

    Returns:
        A feasible plan, and potentials u (N,) and v (M,) such that u_i + v_j is at most the ground distance of i and j.
    """
    costs = GroundCosts(rows, columns)
    size = max(_SAMPLE, _SAMPLED_A_COLUMN * len(columns))
    sampled = len(rows) > 2 * size
    sample, weights, part = np.arange(len(rows)), a, costs
    if sampled:
        regions = GroundCosts(rows, columns[:: -(-len(columns) // _REGIONS)]).nearest()
        sample, weights = _systematic_sample(regions, a, size)
        part = costs.take(sample)
    v, value = _exact_start(part, weights, columns, b)
    if costs.resolution > _RESOLVED * value:
        costs = GroundCosts(rows, columns, np.float64)
    v, value = v - b @ v, max(value, costs.resolution) or 1.0  # round-off of potentials is least near 0
    smoothing, reach, steps = max(gap, _SMOOTHING), _REACH, _STEPS
    if sampled:
        part = costs.take(sample)
        for _ in range(_SAMPLE_ROUNDS):
            pairs = _near_pairs(part, v, weights)
            v, _ = _ascend(pairs, weights, b, smoothing * value, reach * pairs.width, steps, gap)

    best, plan, rounds = _near_pairs(costs, v, a), None, 0
    while True:
        v, mass = _ascend(best, a, b, smoothing * value, reach * best.width, steps, gap)
        rounded = feasible_plan(costs, best, mass, v, a, b)
        if plan is None or rounded.cost < plan.cost:
            plan, value = rounded, max(rounded.cost, costs.resolution) or 1.0
        pairs = _near_pairs(costs, v, a)
        if pairs.bound(a, b) > best.bound(a, b):
            best, reach = pairs, min(2 * reach, _REACH)
        else:  # too few steps, or pairs that are not listed became the nearest
            steps, reach = min(2 * steps, _MOST_STEPS), reach / 4
        difference, rounds = plan.cost - best.bound(a, b), rounds + 1
        if difference <= max(gap * plan.cost, _ROUND_OFF) or rounds == _ROUNDS:
            break
        smoothing = max(difference / value, gap) / 4
    plan = replace(plan, distances=plan.distances * costs.unit, cost=plan.cost * costs.unit)
    return plan, best.row_potentials * costs.unit, best.column_potentials * costs.unit


def _near_pairs(costs: GroundCosts, potentials: _Array, row_weights: _Array) -> NearPairs:
    """List the near pairs: on average as many a row as the constants above say."""
    n_rows, n_columns = costs.shape
    pairs = min(max(_NEAR, _NEAR_A_COLUMN * n_columns // n_rows), _MOST_NEAR)
    heavy = row_weights * n_columns > _HEAVY
    return costs.near_pairs(potentials, costs.width_of(potentials, pairs), _CROWDED * pairs, heavy)


def _ascend(
    pairs: NearPairs, a: _Array, b: _Array, smoothing: float, reach: float, steps: int, tolerance: float
) -> tuple[_Array, _Array]:
    """Maximise the smoothed semi-dual over the near pairs.

    The potential of a column without pairs would rise without bound. Beyond ``reach`` a steep penalty holds each v_j:
    Σ_j b_j·reach·t_j⁸/8 with t = (v − v₀)/reach, which balances an empty column at t = 1.

    The pairs hold v₀, ``smoothing`` is ε, and the ascent stops when a share of ``tolerance`` of the mass is in the
    wrong column. Returns the (M,) potentials and the (P,) smoothed plan.
    """
    counts = np.diff(pairs.starts)
    reach = min(max(reach, smoothing), _MAX_EXPONENT * smoothing) / smoothing
    excess = ((pairs.reduced - np.repeat(pairs.least, counts)) / smoothing).astype(np.float64)
    kernel = csr_array((np.empty_like(excess), pairs.columns, pairs.starts), shape=(len(a), len(b)))
    ones = np.ones(len(b))
    misplaced = np.inf

    def shares(change: _Array) -> tuple[_Array, _Array]:
        """(N,) sum of the exponentials of each row, and (N,) mass for each unit of it; fills ``kernel``."""
        np.take(np.clip(change, -2 * reach, 2 * reach), pairs.columns, out=kernel.data)
        np.subtract(kernel.data, excess, out=kernel.data)
        np.exp(kernel.data, out=kernel.data)
        sums = kernel @ ones
        return sums, a / sums

    def descent(change: _Array) -> tuple[float, _Array]:
        """The negative smoothed semi-dual and its gradient, both over ε; ``change`` is (v − v₀)/ε."""
        nonlocal misplaced
        sums, share = shares(change)
        surplus = share @ kernel - b
        misplaced = np.abs(surplus).sum() / 2
        t = change / reach
        penalty = np.sum(b * t**8) * reach / 8
        value = np.sum(a * np.log(sums)) - np.sum(b * change) + penalty
        return float(value), surplus + b * t**7

    def balanced(intermediate_result: OptimizeResult) -> None:
        if misplaced < tolerance:
            raise StopIteration

    options = {"maxiter": steps, "ftol": _GAIN, "gtol": 0}
    with threadpool_limits(1, "blas"):  # threads do not pay on vectors this short
        found = minimize(descent, np.zeros(len(b)), jac=True, method="L-BFGS-B", callback=balanced, options=options)
    _, share = shares(found.x)
    return pairs.column_potentials + smoothing * found.x, kernel.data * np.repeat(share, counts)


def _exact_start(costs: GroundCosts, a: _Array, columns: NDArray[np.floating], b: _Array) -> tuple[_Array, float]:
    """(M,) potentials of the exact solution of a sample, and its cost.

    Potentials of columns outside the sample are c-transforms of the rows' potentials.
    """
    regions, chosen, weights = costs.nearest(), np.arange(len(b)), b
    if len(b) > _EXACT_COLUMNS:
        anchors = columns[:: -(-len(b) // _REGIONS)]
        chosen, weights = _systematic_sample(GroundCosts(columns, anchors).nearest(), b, _EXACT_COLUMNS)
    sample, a = _systematic_sample(regions, a, _EXACT_ROWS)
    dense = costs.dense(sample, chosen)
    mass, v, _ = transport_plan(dense, a, weights)
    value = float((mass * dense).sum())
    if len(chosen) < len(b):
        u = (dense - v).min(axis=1)
        parts = np.array_split(np.arange(len(b)), -(-len(b) // _EXACT_COLUMNS))
        v = np.concatenate([(costs.dense(sample, part) - u[:, None]).min(axis=0) for part in parts])
    return v, value


def _systematic_sample(regions: NDArray[np.int64], weights: _Array, size: int) -> tuple[NDArray[np.int64], _Array]:
    """Systematic sample (Madow, 1949): a draw every 1/size of the weight, so that regions keep it up to 1/size.

    Returns the distinct points and the weight that each represents. Points of large weight are drawn several times; all
    points are taken if they are fewer than ``size``.
    """
    if size >= len(weights):
        return np.arange(len(weights)), weights
    order = np.argsort(regions, kind="stable")
    ends = np.cumsum(weights[order])
    steps = (np.arange(size) + 0.5) * (ends[-1] / size)
    drawn, counts = np.unique(order[np.minimum(np.searchsorted(ends, steps), len(order) - 1)], return_counts=True)
    return drawn, counts / size
