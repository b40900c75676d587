"""Semi-relaxed transport: the target receives all its mass, and the row sums of the plan are free.

min_P Σ_ij P_ij d_ij over P ≥ 0 with column sums b and any row sums. It is the least Earth Mover's Distance over all
weights of the source, and its solution is known: each target point is served by its nearest source point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from similarity.distances import nearest_distances, shares
from similarity.transport.earth_movers_distance import TransportResult


def nearest_plan(
    costs: NDArray[np.float64], source_weights: NDArray[np.float64], target_weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The optimal plan (S, T) of costs (S, T) for target weights (T,); the source weights do not matter."""
    plan = np.zeros_like(costs)
    plan[costs.argmin(axis=0), np.arange(costs.shape[1])] = target_weights
    return plan


def semi_relaxed(
    source_points: NDArray[np.floating], target_points: NDArray[np.floating], target_weights: NDArray[np.number]
) -> TransportResult:
    """The mean distance of the target's points to their nearest source point, and the plan.

    Args:
        source_points: (S, D) points of a geometry.
        target_points: (T, D) points of the same geometry.
        target_weights: (T,) non-negative, not all zero; normalised to sum 1.

    >>> semi_relaxed(np.array([[0.0], [9.0]]), np.array([[1.0], [3.0]]), np.array([3, 1])).value
    1.5
    """
    _, distances, nearest = nearest_distances(source_points, target_points)
    weights, shape = shares(target_weights), (len(source_points), len(target_points))
    columns = np.arange(len(target_points))
    plan, costs = (csr_array((entries, (nearest, columns)), shape=shape) for entries in (weights, distances))
    value = float(weights @ distances)
    return TransportResult(value, value, value, plan, costs, np.zeros(len(source_points)), distances, "nearest")
