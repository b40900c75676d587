"""The exact Earth Mover's Distance between two weighted sets of points, with a certificate.

The ground distance is Euclidean, not squared (Cui et al., CVPR 2018):

    EMD = min_P Σ_ij P_ij ‖s_i − t_j‖   over P ≥ 0 with row sums a and column sums b.

Any u, v with u_i + v_j ≤ ‖s_i − t_j‖ give the lower bound Σ a_i u_i + Σ b_j v_j, any feasible plan an
upper one. Both are computed from what the solver returns; that they meet is the proof of optimality.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from similarity.distance import pairwise_distances

#: γ of the paper's similarity exp(−γ·EMD); made for raw ResNet-101 features. See similarity/calibration.py.
GAMMA = 0.01
#: Network-simplex pivots. POT's own default stops early at 10,000 classes.
MAX_ITERATIONS = 100_000_000
#: Largest share of the cost by which the bounds of an exact solution may differ: round-off, and room.
_EXACT = 1e-7


@dataclass(frozen=True, eq=False)
class TransportResult:
    """An Earth Mover's Distance and the evidence for it.

    Attributes:
        value: The distance: the cost of ``plan``.
        lower_bound: Σ a_i u_i + Σ b_j v_j of the potentials, made feasible. The distance lies between
            it and ``upper_bound`` whatever the solver did.
        upper_bound: The cost of ``plan``.
        plan: (S, T) sparse float64, mass moved from each source point to each target point; sums to 1.
        distances: (S, T) sparse float64, the ground distance wherever ``plan`` has an entry, in the same order.
        source_potentials: (S,) u. With v, u_i + v_j is at most the ground distance of i and j, up to round-off.
        target_potentials: (T,) v.
        solver: ``network-simplex``, or ``single-class`` where one side has one point and the plan has
            no freedom.
    """

    value: float
    lower_bound: float
    upper_bound: float
    plan: csr_array
    distances: csr_array
    source_potentials: NDArray[np.float64]
    target_potentials: NDArray[np.float64]
    solver: str


def similarity(value: float, gamma: float = GAMMA) -> float:
    """Domain similarity exp(−γ·EMD), in (0, 1] (Cui et al., CVPR 2018).

    >>> similarity(0.0)
    1.0
    """
    return float(np.exp(-gamma * value))


def emd(
    source_points: NDArray[np.floating],
    source_weights: NDArray[np.number],
    target_points: NDArray[np.floating],
    target_weights: NDArray[np.number],
    *,
    max_iterations: int = MAX_ITERATIONS,
) -> TransportResult:
    """Exact Earth Mover's Distance.

    Args:
        source_points: (S, D) points, such as class means.
        source_weights: (S,) non-negative, such as image counts; normalised to sum 1. A point of
            weight 0 changes nothing.
        target_points: (T, D) points.
        target_weights: (T,) as for the source.
        max_iterations: Pivots after which the solver gives up.

    Raises:
        ValueError: Points or weights have a wrong shape, are not finite, or weights are negative or all zero.
        RuntimeError: The solver did not finish, or its bounds do not meet.

    >>> emd(np.array([[0.0], [1.0]]), np.array([1, 3]), np.array([[5.0]]), np.array([2])).value
    4.25
    """
    a = _weights("source", source_points, source_weights)
    b = _weights("target", target_points, target_weights)
    if np.shape(source_points)[1] != np.shape(target_points)[1]:
        raise ValueError(
            f"source_points and target_points must have one width, "
            f"got {np.shape(source_points)[1]} and {np.shape(target_points)[1]}"
        )
    costs = pairwise_distances(np.asarray(source_points, np.float64), np.asarray(target_points, np.float64))
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    mass, v, solver = transport_plan(costs[np.ix_(rows, columns)], a[rows], b[columns], max_iterations=max_iterations)

    # The largest feasible u for this v (the c-transform), then the same for points that were left out:
    # every pair becomes feasible, in float64, whatever the solver's own tolerance.
    u = (costs[:, columns] - v).min(axis=1)
    potentials = (costs - u[:, None]).min(axis=0)
    potentials[columns] = v
    lower = float(a @ u + b @ potentials)

    from_, to = np.nonzero(mass)
    place = rows[from_], columns[to]
    plan, distances = (coo_array((of, place), shape=costs.shape).tocsr() for of in (mass[from_, to], costs[place]))
    value = float(mass[from_, to] @ costs[place])
    _require_optimal(mass, a[rows], b[columns], lower, value, scale=float(costs.max()))
    return TransportResult(
        value=value,
        lower_bound=max(0.0, min(lower, value)),  # they may cross by round-off
        upper_bound=value,
        plan=plan,
        distances=distances,
        source_potentials=u,
        target_potentials=potentials,
        solver=solver,
    )


def transport_plan(
    costs: NDArray[np.float64],
    source_weights: NDArray[np.float64],
    target_weights: NDArray[np.float64],
    *,
    max_iterations: int = MAX_ITERATIONS,
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """The cheapest way to move weights, unchecked: what :func:`emd` puts its certificate on.

    Args:
        costs: (S, T) finite ground distances.
        source_weights: (S,) positive, sum 1.
        target_weights: (T,) positive, sum 1.
        max_iterations: Pivots after which the solver gives up.

    Returns:
        (S, T) mass moved, (T,) potentials of the targets, and what found them: see :class:`TransportResult`.

    Raises:
        RuntimeError: The solver did not finish.
    """
    if min(costs.shape) == 1:
        v = costs[0] if len(costs) == 1 else np.zeros(1)
        return np.outer(source_weights, target_weights), v, "single-class"
    import ot

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            plan, log = ot.emd(source_weights, target_weights, costs, numItermax=max_iterations, log=True)
        except UserWarning as warning:
            size = f"{costs.shape[0]} × {costs.shape[1]}"
            raise RuntimeError(f"the transport problem of {size} was not solved: {warning}") from warning
    return plan, log["v"], "network-simplex"


def _require_optimal(
    mass: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64], lower: float, upper: float, scale: float
) -> None:
    """Refuse a plan that is not feasible, or bounds that do not meet."""
    astray = max(np.abs(mass.sum(axis=1) - a).max(), np.abs(mass.sum(axis=0) - b).max())
    if astray > 1e-9 or abs(upper - lower) > _EXACT * scale:
        raise RuntimeError(
            f"the transport problem of {len(a)} × {len(b)} was not solved: bounds {lower:.9g} and {upper:.9g}, "
            f"marginals astray by {astray:.1e}"
        )


def _weights(side: str, points: NDArray[np.floating], weights: NDArray[np.number]) -> NDArray[np.float64]:
    """Check one side's arguments; its weights, normalised."""
    points, mass = np.asarray(points), np.asarray(weights, dtype=np.float64)
    if points.ndim != 2 or len(points) == 0:
        raise ValueError(f"{side}_points must be (classes, width) with at least one class, got shape {points.shape}")
    if mass.shape != (len(points),):
        raise ValueError(f"{side}_weights must have shape ({len(points)},), one a point, got {mass.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{side}_points must be finite, got NaN or infinity")
    if not np.isfinite(mass).all():
        raise ValueError(f"{side}_weights must be finite, got NaN or infinity")
    if (mass < 0).any():
        raise ValueError(f"{side}_weights must not be negative, got {mass.min():g}")
    if not mass.any():
        raise ValueError(f"{side}_weights must not all be zero")
    return mass / mass.sum()
