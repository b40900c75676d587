"""The Earth Mover's Distance between two weighted sets of points, with a certificate.

The ground distance is Euclidean, not squared (Cui et al., CVPR 2018):

    EMD = min_P Σ_ij P_ij ‖s_i − t_j‖   over P ≥ 0 with row sums a and column sums b.

Any u, v with u_i + v_j ≤ ‖s_i − t_j‖ give the lower bound Σ a_i u_i + Σ b_j v_j, any feasible plan an
upper one. Both are computed from what the solver returns. That they meet is the proof of optimality; sets too large
for the exact solver get bounds that nearly meet, from :mod:`similarity.transport.semi_dual`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from similarity.distances import pairwise_distances
from similarity.transport.cost_blocks import c_transform
from similarity.transport.network_simplex import MAX_ITERATIONS, transport_plan
from similarity.transport.semi_dual import semi_dual

#: γ of the paper's similarity exp(−γ·EMD); made for raw ResNet-101 features. See similarity/ranking/calibration.py.
GAMMA = 0.01
#: Share of the upper bound by which the bounds of the semi-dual may differ.
GAP = 1e-3
#: Pairs and points up to which ``auto`` is exact, about two seconds for so many pairs.
EXACT_PAIRS, EXACT_POINTS = 10_000_000, 20_000
#: Where both sides have more points than this, the exact solver is about as fast as the semi-dual, or faster.
_BALANCED = 2_000
#: Largest share of the cost by which the bounds of an exact solution may differ: round-off, and room.
_EXACT = 1e-7
#: Most mass by which a plan may miss a weight.
_FEASIBLE = 1e-9


@dataclass(frozen=True, eq=False)
class TransportResult:
    """An Earth Mover's Distance and the evidence for it.

    Attributes:
        value: The cost of ``plan``: the distance, or within the bounds of it.
        lower_bound: Σ a_i u_i + Σ b_j v_j of the potentials, made feasible. The distance lies between
            it and ``upper_bound`` whatever the solver did.
        upper_bound: The cost of ``plan``.
        plan: (S, T) sparse float64, mass moved from each source point to each target point; sums to 1.
        distances: (S, T) sparse float64, the ground distance wherever ``plan`` has an entry, in the same order.
        source_potentials: (S,) u. With v, u_i + v_j is at most the ground distance of i and j, up to round-off.
        target_potentials: (T,) v.
        solver: ``network-simplex``, which is exact; ``semi-dual``, where the bounds differ by :attr:`gap`; or
            ``single-class``, where one side has one point and the plan has no freedom.
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
        """The same from the targets to the sources."""
        return replace(
            self,
            plan=self.plan.T.tocsr(),
            distances=self.distances.T.tocsr(),
            source_potentials=self.target_potentials,
            target_potentials=self.source_potentials,
        )

    @property
    def gap(self) -> float:
        """(upper_bound − lower_bound) / upper_bound: by what share ``value`` may be too large; 0 for a value of 0."""
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
    max_iterations: int = MAX_ITERATIONS,
) -> TransportResult:
    """Earth Mover's Distance: exact, or between sets that are too large for that, within bounds.

    Args:
        source_points: (S, D) points, such as class means.
        source_weights: (S,) non-negative, such as image counts; normalised to sum 1. A point of
            weight 0 changes nothing.
        target_points: (T, D) points.
        target_weights: (T,) as for the source.
        solver: ``network-simplex`` is exact; its memory grows with S·T and its time faster. ``semi-dual`` never forms
            the S × T distances and stops at bounds. ``auto`` is exact up to 20,000 points, unless they have more than
            10,000,000 pairs and one side has at most 2,000: 10,000 × 10,000 takes half a minute and 6 GiB.
        gap: Share of the upper bound by which the bounds of the semi-dual may differ, in (0, 1). Where that is
            not reached they are returned as they are: see :attr:`TransportResult.gap`.
        max_iterations: Pivots after which the network simplex gives up.

    Raises:
        ValueError: Points or weights have a wrong shape, are not finite, or weights are negative or all zero;
            there is no such solver; ``gap`` is out of its range.
        RuntimeError: The network simplex did not finish, or its bounds do not meet.

    >>> emd(np.array([[0.0], [1.0]]), np.array([1, 3]), np.array([[5.0]]), np.array([2])).value
    4.25
    """
    a = _weights("source", source_points, source_weights)
    b = _weights("target", target_points, target_weights)
    x, y = np.asarray(source_points), np.asarray(target_points)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"source_points and target_points must have one width, got {x.shape[1]} and {y.shape[1]}")
    if solver not in ("auto", "network-simplex", "semi-dual"):
        raise ValueError(f"solver must be auto, network-simplex or semi-dual, got {solver!r}")
    if not 0 < gap < 1:
        raise ValueError(f"gap must be between 0 and 1, got {gap}")
    sizes = np.count_nonzero(a), np.count_nonzero(b)
    if solver == "auto":
        exact = sum(sizes) <= EXACT_POINTS and (sizes[0] * sizes[1] <= EXACT_PAIRS or min(sizes) > _BALANCED)
        solver = "network-simplex" if exact else "semi-dual"
    if solver == "network-simplex" or min(sizes) == 1:
        return _exact(x.astype(np.float64), a, y.astype(np.float64), b, max_iterations)
    return _bounded(x, a, y, b, gap, max_iterations)


def _exact(
    x: NDArray[np.float64], a: NDArray[np.float64], y: NDArray[np.float64], b: NDArray[np.float64], max_iterations: int
) -> TransportResult:
    costs = pairwise_distances(x, y)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    mass, v, solver = transport_plan(costs[np.ix_(rows, columns)], a[rows], b[columns], max_iterations=max_iterations)

    # The largest feasible u for this v (the c-transform), then the same for points that were left out:
    # every pair becomes feasible, in float64, whatever the solver's own tolerance.
    u = (costs[:, columns] - v).min(axis=1)
    potentials = (costs - u[:, None]).min(axis=0)
    potentials[columns] = v
    from_, to = np.nonzero(mass)
    place = rows[from_], columns[to]
    result = _result(place, mass[from_, to], costs[place], a, b, u, potentials, solver)
    if result.upper_bound - result.lower_bound > _EXACT * float(costs.max()):
        raise RuntimeError(
            f"the transport problem of {len(rows)} × {len(columns)} was not solved: "
            f"bounds {result.lower_bound:.9g} and {result.upper_bound:.9g}"
        )
    return result


def _bounded(
    x: NDArray[np.floating],
    a: NDArray[np.float64],
    y: NDArray[np.floating],
    b: NDArray[np.float64],
    gap: float,
    max_iterations: int,
) -> TransportResult:
    if np.count_nonzero(a) < np.count_nonzero(b):  # the semi-dual lives on the smaller side
        return _bounded(y, b, x, a, gap, max_iterations).transposed()
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    x_used, y_used = (side if len(at) == len(side) else side[at] for side, at in ((x, rows), (y, columns)))
    solution = semi_dual(x_used, a[rows], y_used, b[columns], gap=gap, max_iterations=max_iterations)
    u, v = np.empty(len(x)), np.empty(len(y))
    u[rows], v[columns] = solution.row_potentials, solution.column_potentials
    # Points of no weight change no bound; theirs are feasible too.
    u[a == 0] = c_transform(x[a == 0], y_used, solution.column_potentials)
    v[b == 0] = c_transform(y[b == 0], x, u)
    plan = solution.plan
    return _result((rows[plan.rows], columns[plan.columns]), plan.mass, plan.distances, a, b, u, v, "semi-dual")


def _result(
    place: tuple[NDArray[np.int64], NDArray[np.int64]],
    mass: NDArray[np.float64],
    distances: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    solver: str,
) -> TransportResult:
    """Put the evidence together; refuse a plan that is not feasible, or bounds that cross by more than round-off."""
    astray = max(
        np.abs(np.bincount(at, mass, minlength=len(weights)) - weights).max()
        for at, weights in zip(place, (a, b), strict=True)
    )
    lower, value = float(a @ u + b @ v), float(mass @ distances)
    if astray > _FEASIBLE or lower - value > _EXACT * float(np.abs(u).max() + np.abs(v).max()):
        raise RuntimeError(
            f"the transport problem of {np.count_nonzero(a)} × {np.count_nonzero(b)} was not solved: "
            f"bounds {lower:.9g} and {value:.9g}, marginals astray by {astray:.1e}"
        )
    plan, costs = (coo_array((of, place), shape=(len(a), len(b))).tocsr() for of in (mass, distances))
    return TransportResult(
        value=value,
        lower_bound=max(0.0, min(lower, value)),  # they may cross by round-off
        upper_bound=value,
        plan=plan,
        distances=costs,
        source_potentials=u,
        target_potentials=v,
        solver=solver,
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
