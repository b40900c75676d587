"""Take classes that are mutually near to some of the target's classes.

It is a variant of mutual proximity (Schnitzer et al., JMLR 2012): the sum of z-scores of log distances replaces the
product of survival probabilities. A short distance alone says little: a hub is near to everything, and a class in a
sparse region is far from everything. So a distance is compared with the other distances of both its ends. With ℓ_ij
the log squared distance of source class i to target class j,

    e_ij = −(ℓ_ij − m_i) / s_i − (ℓ_ij − m_j) / s_j,

where m_i and s_i are mean and standard deviation of the log squared distances of i to the other source classes, and m_j
and s_j those of j to all source classes. e_ij is large if i is nearer to j than to most sources, and j nearer to i than
most sources are. Around a point, the share of points within a radius r grows as a power of r (the intrinsic dimension:
Levina and Bickel, NeurIPS 2004), so that in the logarithm of the distance equal steps are equal evidence.

- A class scores well if it is near to some part of the target, whatever the other parts are: the score is minus the
  mean of its two largest e_ij. One near class may be chance; a second one makes that unlikely.
- The share p_ij of the target class j that i serves is proportional to exp(e_ij), with sum 1 over the source classes.
  The share of the target is Σ_j w_j·p_ij, where w_j is the share of j in the target's images.
- The mean of few images is noisy and stands off from everything. Its m_i grows with the noise as its ℓ_ij do, so that
  few images have little effect on score and share.

Three details keep the moments steady. A small floor is added to each squared distance, so that coinciding points have a
logarithm. The least distance of each point counts as its second least, because a class may occur twice in a pool of
several sources. And a deviation is shrunk towards that of all points, which matters in pools of few classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.distances import shares
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Ordering, Seed, Strategy

#: Most source classes that all stand for themselves in means and deviations, and the size of a sample of more.
EXACT, REFERENCES = 2048, 512
#: Weight of the average deviation, in distances, when that of one point is estimated.
_PRIOR = 10
#: Fewest distances of which the least counts as the second least.
_LEAST = 4
#: Added to each squared distance, which is typically about 2.
_FLOOR = 2e-3
#: Deviation of log distances in float32 that is round-off.
_ROUND_OFF = 1e-5
#: Entries of one block of distances: few enough for a processor's cache.
_BLOCK = 1 << 20

_Block: TypeAlias = NDArray[np.float32]


def mutual_proximity(
    source_points: NDArray[np.floating], target_points: NDArray[np.floating], target_weights: NDArray[np.number]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores (less is nearer) and the shares, (S,) each, of source classes for a target.

    Above :data:`EXACT` source classes, means and deviations are over a sample of :data:`REFERENCES`, the same in each
    call. Distances are computed in float32, one block at a time; no matrix of all pairs is held.

    Args:
        source_points: (S, D) points of a geometry.
        target_points: (T, D) points of the same geometry.
        target_weights: (T,) non-negative, not all zero. They weight the shares; a class without weight does not count.
    """
    counted = np.asarray(target_weights) > 0
    evidence = _Evidence.of(source_points, target_points[counted])
    scores, served = np.empty(len(source_points)), np.empty(len(source_points))
    total = evidence.no_total()
    for rows, block in evidence.blocks():
        total = _log_of_sum(total, block)
        scores[rows] = -_mean_of_two_largest(block)
    weights = shares(target_weights[counted])
    for rows, block in evidence.blocks():
        served[rows] = np.exp(block - total.astype(np.float32)) @ weights
    return scores, shares(served)


def most_serving(
    source_points: NDArray[np.floating],
    target_points: NDArray[np.floating],
    chosen: NDArray[np.bool_],
    top: int,
    first: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The chosen source classes that serve each target class most, and the shares p_ij that they carry.

    Args:
        source_points: (S, D) points of a geometry.
        target_points: (T, D) points of the same geometry.
        chosen: (S,) whether a source class is chosen; at least one is.
        top: Source classes of each target class, K; all that are chosen if these are fewer.
        first: Number of target classes to evaluate, the first ones; None for all. All of them set the scale.

    Returns:
        (T, K) positions among the source classes and (T, K) shares, the largest first, of the T target classes that are
        evaluated. The shares of a target class over all source classes sum to 1, those of chosen ones to at most 1.
    """
    evidence = _Evidence.of(source_points, target_points).of_first(first)
    total, number = evidence.no_total(), len(evidence.y)
    top = min(top, int(np.count_nonzero(chosen)))
    places, most = np.empty((number, 0), dtype=np.int64), np.empty((number, 0), dtype=np.float32)
    for rows, block in evidence.blocks():
        total = _log_of_sum(total, block)
        here = np.flatnonzero(chosen[rows])
        candidates = np.concatenate([most, block[here].T], axis=1)
        of = np.concatenate([places, np.broadcast_to(here + rows.start, (number, len(here)))], axis=1)
        order = np.argsort(-candidates, axis=1, kind="stable")[:, :top]
        most, places = (np.take_along_axis(table, order, axis=1) for table in (candidates, of))
    return places, np.exp(most - total[:, None])


@dataclass(frozen=True, eq=False)
class _Evidence:
    """The e_ij of source classes i and target classes j, computed in blocks of source classes."""

    x: _Block
    y: _Block
    own: _Moments
    theirs: _Moments

    @classmethod
    def of(cls, source_points: NDArray[np.floating], target_points: NDArray[np.floating]) -> _Evidence:
        x, y, itself = _standardised(source_points, target_points)
        return cls(x, y, _moments(x, x[itself], itself), _moments(y, x[itself]))

    def of_first(self, number: int | None) -> _Evidence:
        """The evidence of the first target classes alone; None for all."""
        theirs = _Moments(self.theirs.mean[:number], self.theirs.deviation[:number])
        return replace(self, y=self.y[:number], theirs=theirs)

    def blocks(self) -> Iterator[tuple[slice, _Block]]:
        """The e_ij of consecutive source classes, with their positions."""
        own, theirs = self.own, self.theirs
        for rows, logs in _log_distances(self.x, self.y):
            of_target = (logs - theirs.mean) / theirs.deviation
            logs -= own.mean[rows, None]
            logs /= own.deviation[rows, None]
            logs += of_target
            yield rows, np.negative(logs, out=logs)

    def no_total(self) -> NDArray[np.float64]:
        """(T,) logarithm of Σ_i exp(e_ij) over no source class."""
        return np.full(len(self.y), -np.inf)


def _log_of_sum(total: NDArray[np.float64], block: _Block) -> NDArray[np.float64]:
    """(T,) logarithm of Σ_i exp(e_ij), ``total``, with the source classes of a block added."""
    most = block.max(axis=0)
    return np.logaddexp(total, most + np.log(np.exp(block - most).sum(axis=0, dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class _Moments:
    """Mean and deviation of the log squared distances of some points to the references, (N,) each."""

    mean: _Block
    deviation: _Block


def _standardised(
    source_points: NDArray[np.floating], target_points: NDArray[np.floating]
) -> tuple[_Block, _Block, NDArray[np.int64]]:
    """The points of source and target around a centre, scaled to a median square of 1; the positions of the references.

    The references are the source classes that stand for all. The centre is the median of each feature over them, which
    a few far classes do not move; the scale is that of these and the target.
    """
    n_sources = len(source_points)
    drawn = np.arange(n_sources)
    if n_sources > EXACT:
        drawn = np.sort(np.random.default_rng(0).choice(n_sources, REFERENCES, replace=False))
    centre = np.median(source_points[drawn], axis=0)
    x, y = (np.empty(points.shape, dtype=np.float32) for points in (source_points, target_points))
    for points, centred in ((source_points, x), (target_points, y)):
        np.subtract(points, centre, out=centred, casting="same_kind")  # no float64 copy of all points
    squares = np.concatenate([np.square(points, dtype=np.float64).sum(axis=1) for points in (x[drawn], y)])
    scale = np.float32(np.sqrt(np.median(squares) or squares.mean()) or 1.0)
    x /= scale
    y /= scale
    return x, y, drawn


def _moments(points: _Block, references: _Block, itself: Sequence[int] | NDArray[np.int64] = ()) -> _Moments:
    """The moments of each point; ``itself`` holds the position of each reference among the points, if they are some.

    A deviation is shrunk towards that of all points, as if :data:`_PRIOR` more distances were known. It is infinite,
    and so says nothing, if no distance differs from another by more than round-off.
    """
    itself = np.asarray(itself, dtype=np.int64)
    mean, squares, others = np.empty(len(points)), np.empty(len(points)), np.full(len(points), len(references))
    others[itself] -= 1
    for rows, logs in _log_distances(points, references):
        columns = np.flatnonzero((itself >= rows.start) & (itself < rows.stop))
        own = itself[columns] - rows.start, columns
        logs[own] = np.inf
        if len(references) >= _LEAST:
            _raise_least(logs)
        logs[own] = 0
        logs[own] = logs[own[0]].sum(axis=1, dtype=np.float64) / np.maximum(others[rows][own[0]], 1)
        mean[rows] = logs.mean(axis=1, dtype=np.float64)
        logs -= mean[rows, None].astype(np.float32)
        squares[rows] = np.einsum("nr,nr->n", logs, logs)
    average = float(squares.sum() / max(1, others.sum()))
    deviation = np.sqrt((squares + _PRIOR * average) / (others + _PRIOR))
    deviation[deviation < _ROUND_OFF] = np.inf
    return _Moments(mean.astype(np.float32), deviation.astype(np.float32))


def _log_distances(x: _Block, y: _Block) -> Iterator[tuple[slice, _Block]]:
    """Blocks of log(‖x_i − y_j‖² + floor) of consecutive rows of ``x``, each with their positions."""
    right = np.column_stack([-2 * y, np.ones(len(y)), np.square(y).sum(axis=1)]).astype(np.float32).T
    step = max(1, _BLOCK // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        of_rows = x[rows]
        ones, squares = np.ones(len(of_rows), dtype=np.float32), np.square(of_rows).sum(axis=1) + _FLOOR
        block = np.column_stack([of_rows, squares, ones]) @ right
        np.maximum(block, _FLOOR, out=block)
        yield rows, np.log(block, out=block)


def _raise_least(block: _Block) -> None:
    """Set the least entry of each row to the second least."""
    places = np.arange(len(block)), block.argmin(axis=1)
    block[places] = np.inf
    block[places] = block.min(axis=1)


def _mean_of_two_largest(block: _Block) -> _Block:
    """The mean of the two largest entries of each row, or the only entry; the largest is overwritten."""
    rows = np.arange(len(block))
    first = block.argmax(axis=1)
    largest = block[rows, first]
    if block.shape[1] == 1:
        return largest
    block[rows, first] = -np.inf
    return (largest + block.max(axis=1)) / 2


def by_proximity(pool: SourcePool, target: FeatureBank, size: int, seed: Seed) -> Ordering:
    """The classes of the least score."""
    scores, served = mutual_proximity(pool.points, pool.metric.points(target.means), target.counts)
    return Ordering.ascending(scores, size, served)


MUTUAL_PROXIMITY = Strategy(
    "mutual-proximity",
    "classes near to some of the target's classes, judged by all other distances of both",
    by_proximity,
    ranked_by="score",
    has_shares=True,
)
