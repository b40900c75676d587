"""The Earth Mover's Distance between two weighted sets of points, with a certificate.

The ground distance is Euclidean, not squared (Cui et al., CVPR 2018):

    EMD = min_P Σ_ij P_ij ‖s_i − t_j‖   over P ≥ 0 with row sums a and column sums b.

Any potentials u, v with u_i + v_j ≤ ‖s_i − t_j‖ give the lower bound Σ a_i u_i + Σ b_j v_j (Kantorovich duality), and
any feasible plan gives an upper bound. Both are computed from the output of the solver. If they are equal, the plan is
optimal. Sets that are too large for the exact solver get bounds that nearly meet, from
:mod:`similarity.transport.semi_dual`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from similarity.distances import pairwise_distances
from similarity.transport.cost_blocks import c_transform
from similarity.transport.network_simplex import transport_plan
from similarity.transport.semi_dual import semi_dual

#: γ of the paper's similarity exp(−γ·EMD), for raw ResNet-101 features. See similarity/ranking/calibration.py.
GAMMA = 0.01
#: Largest gap between the bounds of the semi-dual solver, as a share of the upper bound.
GAP = 1e-3
#: Largest numbers of pairs and of points that ``auto`` solves exactly: about two seconds.
EXACT_PAIRS, EXACT_POINTS = 10_000_000, 20_000
#: If both sides have more points than this, the exact solver is at least about as fast as the semi-dual solver.
_BALANCED = 2_000
#: Largest gap between the bounds of an exact solution, as a share of the largest cost: round-off with a margin.
_EXACT_GAP = 1e-7
#: Largest difference between a marginal of a plan and its weight.
_MARGINAL_ERROR = 1e-9

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TransportResult:
    """An Earth Mover's Distance with its certificate.

    Attributes:
        value, upper_bound: The cost of ``plan``.
        lower_bound: Σ a_i u_i + Σ b_j v_j of feasible potentials. The distance lies between ``lower_bound`` and
            ``upper_bound``, whether or not the solver converged.
        plan: (S, T) sparse float64, mass moved from each source point to each target point; sums to 1.
        distances: (S, T) sparse float64, the ground distance of every entry of ``plan``, in the same order.
        source_potentials, target_potentials: (S,) u and (T,) v; u_i + v_j is at most the ground distance of i and j, up
            to round-off.
        solver: ``network-simplex``, which is exact; ``semi-dual``, whose bounds differ by :attr:`gap`;
            ``single-class`` if one side has one point, so that there is one plan only; or ``nearest``, the exact
            solution of :func:`similarity.transport.semi_relaxed.semi_relaxed`.
    """

    value: float
    lower_bound: float
    upper_bound: float
    plan: csr_array
    distances: csr_array
    source_potentials: NDArray[np.float64]
    target_potentials: NDArray[np.float64]
    solver: str

    def transposed(self) -> TransportResult:
        """The result with sources and targets exchanged."""
        return replace(
            self,
            plan=self.plan.T.tocsr(),
            distances=self.distances.T.tocsr(),
            source_potentials=self.target_potentials,
            target_potentials=self.source_potentials,
        )

    @property
    def gap(self) -> float:
        """(upper_bound − lower_bound) / upper_bound, the share by which ``value`` may be too large; 0 if it is 0."""
        return (self.upper_bound - self.lower_bound) / self.upper_bound if self.upper_bound > 0 else 0.0


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
    solver: Literal["auto", "network-simplex", "semi-dual"] = "auto",
    gap: float = GAP,
) -> TransportResult:
    """The Earth Mover's Distance of two weighted sets: exact, or within certified bounds for large sets.

    Args:
        source_points, target_points: (S, D) and (T, D) points, such as class means.
        source_weights, target_weights: (S,) and (T,), non-negative, such as image counts; normalised to sum 1. A point
            of weight 0 changes nothing.
        solver: ``network-simplex`` is exact; its memory grows as S·T and its time grows faster. ``semi-dual`` never
            forms the S × T distances and returns bounds. ``auto`` is exact up to 20,000 points, unless they have more
            than 10,000,000 pairs and one side has at most 2,000: 10,000 × 10,000 takes half a minute and 6 GiB.
        gap: Largest gap between the bounds of the semi-dual solver, as a share of the upper bound, in (0, 1). It may
            not be reached: see :attr:`TransportResult.gap`.

    Raises:
        ValueError: Points or weights have a wrong shape or are not finite, weights are negative or all zero, the
            solver is unknown, or ``gap`` is out of range.
        RuntimeError: The network simplex did not finish, or its bounds do not meet.

    >>> emd(np.array([[0.0], [1.0]]), np.array([1, 3]), np.array([[5.0]]), np.array([2])).value
    4.25
    """
    a = _weights("source", source_points, source_weights)
    b = _weights("target", target_points, target_weights)
    x, y = np.asarray(source_points), np.asarray(target_points)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"`source_points` and `target_points` must have one width, got {x.shape[1]} and {y.shape[1]}")
    if solver not in ("auto", "network-simplex", "semi-dual"):
        raise ValueError(f"`solver` must be auto, network-simplex or semi-dual, got {solver!r}")
    if not 0 < gap < 1:
        raise ValueError(f"`gap` must be between 0 and 1, got {gap}")
    sizes = np.count_nonzero(a), np.count_nonzero(b)
    if solver == "auto":
        exact = sum(sizes) <= EXACT_POINTS and (sizes[0] * sizes[1] <= EXACT_PAIRS or min(sizes) > _BALANCED)
        solver = "network-simplex" if exact else "semi-dual"
    if solver == "network-simplex" or min(sizes) == 1:
        return _exact(x.astype(np.float64), a, y.astype(np.float64), b)
    return _bounded(x, a, y, b, gap)


def _exact(x: _Array, a: _Array, y: _Array, b: _Array) -> TransportResult:
    """Solve by the network simplex, and certify the result."""
    costs = pairwise_distances(x, y)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    mass, v, solver = transport_plan(costs[np.ix_(rows, columns)], a[rows], b[columns])
    # The c-transform u_i = min_j (c_ij − v_j) is the largest feasible u; that of u extends v to points of weight 0. In
    # float64 every pair becomes feasible, whatever the tolerance of the solver (Peyré and Cuturi, 2019, §5.1).
    u = (costs[:, columns] - v).min(axis=1)
    potentials = (costs - u[:, None]).min(axis=0)
    potentials[columns] = v
    used = np.nonzero(mass)
    entries = rows[used[0]], columns[used[1]]
    result = _certified(entries, mass[used], costs[entries], a, b, u, potentials, solver)
    if result.upper_bound - result.lower_bound > _EXACT_GAP * float(costs.max()):
        raise RuntimeError(
            f"the transport problem of {len(rows)} × {len(columns)} was not solved: "
            f"bounds {result.lower_bound:.9g} and {result.upper_bound:.9g}"
        )
    return result


def _bounded(x: NDArray[np.floating], a: _Array, y: NDArray[np.floating], b: _Array, gap: float) -> TransportResult:
    """Solve by the semi-dual, whose unknowns are the potentials of the smaller side, and certify the result."""
    if np.count_nonzero(a) < np.count_nonzero(b):
        return _bounded(y, b, x, a, gap).transposed()
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    x_used, y_used = (side if len(at) == len(side) else side[at] for side, at in ((x, rows), (y, columns)))
    u, v = np.empty(len(x)), np.empty(len(y))
    plan, u[rows], v[columns] = semi_dual(x_used, a[rows], y_used, b[columns], gap=gap)
    # Points of weight 0 do not change the bounds, but their potentials are feasible too.
    u[a == 0] = c_transform(x[a == 0], y_used, v[columns])
    v[b == 0] = c_transform(y[b == 0], x, u)
    return _certified((rows[plan.rows], columns[plan.columns]), plan.mass, plan.distances, a, b, u, v, "semi-dual")


def _certified(
    entries: tuple[NDArray[np.int64], NDArray[np.int64]],
    mass: _Array,
    distances: _Array,
    a: _Array,
    b: _Array,
    u: _Array,
    v: _Array,
    solver: str,
) -> TransportResult:
    """The result of a plan, by its entries, and of potentials, if the plan is feasible and the bounds do not cross."""
    marginal_error = max(
        np.abs(np.bincount(at, mass, minlength=len(weights)) - weights).max()
        for at, weights in zip(entries, (a, b), strict=True)
    )
    lower, value = float(a @ u + b @ v), float(mass @ distances)
    if marginal_error > _MARGINAL_ERROR or lower - value > _EXACT_GAP * float(np.abs(u).max() + np.abs(v).max()):
        raise RuntimeError(
            f"the transport problem of {np.count_nonzero(a)} × {np.count_nonzero(b)} was not solved: "
            f"bounds {lower:.9g} and {value:.9g}, marginals wrong by {marginal_error:.1e}"
        )
    plan, costs = (coo_array((of, entries), shape=(len(a), len(b))).tocsr() for of in (mass, distances))
    return TransportResult(
        value=value,
        lower_bound=max(0.0, min(lower, value)),  # the bounds may cross by round-off
        upper_bound=value,
        plan=plan,
        distances=costs,
        source_potentials=u,
        target_potentials=v,
        solver=solver,
    )


def _weights(side: str, points: NDArray[np.floating], weights: NDArray[np.number]) -> NDArray[np.float64]:
    """Check the points and weights of one side, and return the weights normalised to sum 1."""
    points, mass = np.asarray(points), np.asarray(weights, dtype=np.float64)
    if points.ndim != 2 or len(points) == 0:
        raise ValueError(f"`{side}_points` must be (classes, width) with at least one class, got shape {points.shape}")
    if mass.shape != (len(points),):
        raise ValueError(f"`{side}_weights` must have shape ({len(points)},), one a point, got {mass.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"`{side}_points` must be finite, got NaN or infinity")
    if not np.isfinite(mass).all():
        raise ValueError(f"`{side}_weights` must be finite, got NaN or infinity")
    if (mass < 0).any():
        raise ValueError(f"`{side}_weights` must not be negative, got {mass.min():g}")
    if not mass.any():
        raise ValueError(f"`{side}_weights` must not all be zero")
    return mass / mass.sum()
