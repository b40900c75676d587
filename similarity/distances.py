"""Euclidean distances between sets of points, one block at a time.

Distances are computed by one matrix product, ‖x‖² − 2x·y + ‖y‖². For points that nearly coincide this cancels; these
few pairs are computed again from their difference, so that the distance of a point to itself is exactly 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Entries of one distance block (float64: 128 MiB).
_BLOCK = 1 << 24
#: Below this share of ‖x‖² + ‖y‖² a squared distance has lost more than about 4 of its 16 digits.
_CANCELLED = 1e-4


def pairwise_distances(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """(S, T) Euclidean distances between points (S, D) and points (T, D)."""
    origin = np.asarray(y, dtype=np.float64).mean(axis=0)  # a shift leaves distances as they are and reduces round-off
    x, y = x - origin, y - origin
    scale = np.einsum("sd,sd->s", x, x)[:, None] + np.einsum("td,td->t", y, y)[None, :]
    squared = x @ y.T
    squared *= -2
    squared += scale
    scale *= _CANCELLED
    rows, columns = np.nonzero(squared < scale)
    step = max(1, _BLOCK // max(1, x.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = x[rows[part]] - y[columns[part]]
        squared[rows[part], columns[part]] = np.einsum("pd,pd->p", difference, difference)
    return np.sqrt(squared, out=squared)


def mean_distances(
    x: NDArray[np.floating], y: NDArray[np.floating], weights: NDArray[np.number]
) -> NDArray[np.float64]:
    """Mean distance of each point of ``x`` (S, D) to the points of ``y`` (T, D): (S,) Σ_j w_j ‖x_i − y_j‖.

    The weights (T,) are non-negative and not all zero; they are normalised to sum 1.
    """
    share = shares(weights)
    return np.concatenate([block @ share for _, block in _row_blocks(x, y)])


def mean_squared_distances(
    x: NDArray[np.floating], y: NDArray[np.floating], weights: NDArray[np.number]
) -> NDArray[np.float64]:
    """As :func:`mean_distances`, of the squares: the squared distance to the mean of ``y`` plus the variance of ``y``.

    No pair is formed.
    """
    share = shares(weights)
    centre = share @ y
    away, spread = x - centre, y - centre
    return np.einsum("sd,sd->s", away, away) + share @ np.einsum("td,td->t", spread, spread)


def neighbour_squared_distances(points: NDArray[np.floating], neighbours: int) -> NDArray[np.float64]:
    """(S,) mean squared distance of each point of a set (S, D) to its nearest ``neighbours`` ≥ 1 other points.

    All other points count if there are fewer; it is 0 for a single point.
    """
    k = min(neighbours, len(points) - 1)
    if k < 1:
        return np.zeros(len(points))
    means = []
    for start, block in _row_blocks(points, points):
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf  # a point is not its own neighbour; a duplicate is
        nearest = np.partition(block, k - 1, axis=1)[:, :k]
        means.append(np.square(nearest).mean(axis=1))
    return np.concatenate(means)


def nearest_distances(
    x: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Distances of points ``x`` (S, D) and ``y`` (T, D) to their nearest among the others.

    Returns:
        (S,) and (T,) distances, and (T,) positions in ``x`` of the nearest; of several nearest the first.
    """
    to_nearest = []
    least, nearest = np.full(len(y), np.inf), np.zeros(len(y), dtype=np.int64)
    for start, block in _row_blocks(x, y):
        to_nearest.append(block.min(axis=1))
        rows = block.argmin(axis=0)
        found = block[rows, np.arange(len(y))]
        nearer = found < least
        least[nearer], nearest[nearer] = found[nearer], start + rows[nearer]
    return np.concatenate(to_nearest), least, nearest


def inner_product_index(points: NDArray[np.floating]) -> Any:
    """An exact float32 index of points (N, D) by inner product, the cosine similarity of points of length 1."""
    import faiss

    index = faiss.IndexFlatIP(points.shape[1])
    index.add(np.ascontiguousarray(points, dtype=np.float32))
    return index


def shares(weights: NDArray[np.number]) -> NDArray[np.float64]:
    """Weights normalised to sum 1."""
    return np.asarray(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64)


def _row_blocks(x: NDArray[np.floating], y: NDArray[np.floating]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Blocks of distances of consecutive rows of ``x`` to all of ``y``, each with the index of its first row."""
    step = max(1, _BLOCK // max(1, len(y)))
    for start in range(0, len(x), step):
        yield start, pairwise_distances(x[start : start + step], y)
