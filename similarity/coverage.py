"""Choose points that cover a weighted set: facility location by the lazy greedy algorithm.

The value of a set A of sources is F(A) = Σ_j w_j (d₀ − min_{i∈A} d_ij) with d₀ the largest distance:
every target class is served by its nearest chosen class. F is monotone and submodular, so each
greedy step adding the largest gain reaches at least (1 − 1/e) of the best F of that size
(Nemhauser, Wolsey and Fisher, 1978); gains only shrink, so an old gain bounds the new one from above
and few have to be computed again (Minoux, 1978).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cover(distances: NDArray[np.float64], weights: NDArray[np.number], size: int) -> NDArray[np.int64]:
    """Greedy choice of rows that lie near all columns.

    Once every column has its nearest row, no further row gains anything. The choice then begins anew
    among the rows that are left: the next rows are each column's second cover, and so on. The
    guarantee holds up to the end of the first round.

    Args:
        distances: (S, T) distance of each source to each target.
        weights: (T,) non-negative, not all zero.
        size: How many rows, 1 to S.

    Returns:
        (size,) row numbers in the order chosen; of equal gains the lower number first.
    """
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64)
    farthest = distances.max(initial=0.0)
    first_gains = farthest - distances @ share
    chosen: list[int] = []
    while len(chosen) < size:
        nearest = np.full(distances.shape[1], farthest)
        bounds = first_gains.copy()
        bounds[chosen] = -np.inf
        pick, gain = int(np.argmax(bounds)), np.inf
        while gain > 0 and len(chosen) < size:
            chosen.append(pick)
            bounds[pick] = -np.inf
            np.minimum(nearest, distances[pick], out=nearest)
            pick, gain = _largest_gain(distances, share, nearest, bounds)
    return np.array(chosen, dtype=np.int64)


def _largest_gain(
    distances: NDArray[np.float64],
    share: NDArray[np.float64],
    nearest: NDArray[np.float64],
    bounds: NDArray[np.float64],
) -> tuple[int, float]:
    """The row of the largest gain, and the gain; tightens ``bounds`` in place."""
    while True:
        pick = int(np.argmax(bounds))
        if bounds[pick] == -np.inf:
            return pick, 0.0  # every row is chosen
        bounds[pick] = np.maximum(nearest - distances[pick], 0) @ share
        if int(np.argmax(bounds)) == pick:
            return pick, float(bounds[pick])
