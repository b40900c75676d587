"""Take classes that together lie near every target class: facility location by the lazy greedy algorithm.

The value of a set A of sources is F(A) = Σ_j w_j (d₀ − min_{i∈A} d_ij), with d₀ the largest distance: every target
class is served by its nearest chosen class. F is monotone and submodular, so greedy steps that add the largest gain
reach at least (1 − 1/e) of the best F of that size (Nemhauser, Wolsey and Fisher, 1978). Gains only shrink, so an old
gain is an upper bound of the new one, and few gains are computed again (Minoux, 1978).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.distances import shares
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import ChoiceCertificate, Ordering, Strategy

#: Steps of the subgradient ascent of a certificate.
_STEPS = 100

_Array = NDArray[np.float64]


def certify(distances: _Array, weights: NDArray[np.number], chosen: NDArray[np.int64]) -> ChoiceCertificate:
    """A lower bound on the distance of every choice of as many rows, and the distance of this one.

    For any radii v_j ≥ 0, Σ_j w_j·v_j less the k largest of Σ_j w_j·max(0, v_j − d_ij) is such a bound: the
    Lagrangian of the k-median problem (Cornuéjols, Fisher and Nemhauser, 1977). Subgradient ascent starts at the
    distances to the chosen rows and looks for radii with a large bound; the bound of each step holds. The distances are
    (S, T), the weights (T,) and not all zero, the chosen rows (k,).
    """
    share = shares(weights)
    radii = distances[chosen].min(axis=0)
    value = float(share @ radii)
    best = float(share @ distances.min(axis=0))
    size, scale = len(chosen), 1.0
    for _ in range(_STEPS):
        within = np.maximum(radii - distances, 0)
        gains = within @ share
        served = np.argpartition(-gains, size - 1)[:size]
        bound = float(share @ radii - gains[served].sum())
        best, improved = max(best, bound), bound > best
        direction = 1.0 - np.count_nonzero(within[served], axis=0)  # of one column's radius, per unit of its weight
        length = float(share @ direction**2)
        if not length > 0 or value - best <= 1e-9 * value:
            break
        scale = scale if improved else 0.9 * scale
        radii = np.maximum(radii + scale * (value - bound) / length * direction, 0)
    return ChoiceCertificate(value, min(best, value))


def cover(distances: _Array, weights: NDArray[np.number], size: int, rounds: float = np.inf) -> NDArray[np.int64]:
    """Greedy choice of rows that lie near all columns.

    When every column has its nearest row, no further row gains anything. A new round then starts among the rows that
    are left and covers each column once more. The guarantee holds up to the end of the first round.

    The choice of at most ``size`` of the rows of the distances (S, T) ends after ``rounds`` in any case.

    Returns:
        (K,) row numbers in the order chosen; of equal gains the lower number comes first.
    """
    share = shares(weights)
    farthest = distances.max(initial=0.0)
    first_gains = farthest - distances @ share
    chosen: list[int] = []
    while len(chosen) < size and rounds > 0:
        rounds -= 1
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


def _largest_gain(distances: _Array, share: _Array, nearest: _Array, bounds: _Array) -> tuple[int, float]:
    """The row of the largest gain, and the gain; tightens ``bounds`` in place."""
    while True:
        pick = int(np.argmax(bounds))
        if bounds[pick] == -np.inf:
            return pick, 0.0  # all rows are chosen
        bounds[pick] = np.maximum(nearest - distances[pick], 0) @ share
        if int(np.argmax(bounds)) == pick:
            return pick, float(bounds[pick])


def _covering(pool: SourcePool, target: FeatureBank, size: int, rounds: float = np.inf) -> Ordering:
    classes = cover(pool.distances(target), target.counts, size, rounds)
    return Ordering(classes, pool.scores(target), pool.nearest(target)[1])


COVERAGE = Strategy(
    "coverage",
    "classes that together lie near every target class",
    lambda pool, target, size, seed: _covering(pool, target, size),
    has_shares=True,
    certify=lambda pool, target, classes: certify(pool.distances(target), target.counts, classes),
    # A second round gains nothing on a curve.
    curve=lambda pool, target, seed: _covering(pool, target, len(pool), rounds=1),
)
