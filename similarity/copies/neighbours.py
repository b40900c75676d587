"""The nearest neighbours of every point among all others, for more points than fit in memory.

Up to :data:`EXACT` points are compared with each other. More are put into an inverted file (IVF) of product-quantised
points (Jégou, Douze and Schmid, 2011; André, Kermarrec and Le Scouarnec, 2017, for the 4-bit codes), which takes one
bit for each feature. The codes are those of the points themselves, not of their differences from the centres of the
lists. The index proposes four times as many candidates as neighbours are wanted; the cosine similarity of the
candidates is computed from the points on the disk, and the nearest ones are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.console import progress
from features.infrastructure.disk.stored_rows import StoredRows
from similarity.distances import inner_product_index

#: Counts the versions of this search that find other neighbours: an unfinished search of another one is not resumed.
FORMAT = 2
#: Most points that are compared with each other, all with all.
EXACT = 1 << 15
#: Points of a block, and most numbers (float32: 1 GiB) of the sample that the quantisers are trained on.
BLOCK, _SAMPLE_NUMBERS = 1 << 14, 1 << 28
#: Neighbours of a point for which blocks have their size; if there are more, blocks are smaller.
_USUAL = 16
#: Dimensions of a sub-quantiser, and the bits of its code.
_SUB_DIMENSIONS, _BITS = 4, 4
#: Candidates that codes propose for each neighbour that is wanted.
_CANDIDATES = 4
#: Inverted lists that are probed for a point, training points for each list (least and wished), and iterations.
_PROBES, _LEAST_TRAINING, _TRAINING, _ITERATIONS = 32, 39, 64, 8

#: (B,) positions of some points, (B, K) cosine similarities and (B, K) positions of their neighbours.
Block = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


class NeighbourSearch:
    """The search for the nearest other points of points.

    Args:
        points: (N, D) points of length 1.
        least: Cosine similarity below which neighbours need not be found.
        seed: Of the sample that the quantisers are trained on.
    """

    def __init__(self, points: StoredRows, least: float, seed: int = 0) -> None:
        self._points, self._exact = points, len(points) <= EXACT
        self._index, self._lowest = (_all(points), -np.inf) if self._exact else _inverted_file(points, least, seed)

    def neighbours_of_all(self, number: int, first: int = 0) -> Iterator[Block]:
        """Yield the nearest neighbours of each point, one block of points after the other.

        Args:
            number: How many neighbours of each point.
            first: The first point to look at; a multiple of :data:`BLOCK`.

        Yields:
            Positions of points, and the (B, K) cosine similarities and positions of their neighbours, in no order; −∞
            and −1 where there are fewer. K is ``number`` + 1, because a point is found too, and at most N.
        """
        with progress("neighbours", len(self._points)) as advance:
            advance(first)
            for start in range(first, len(self._points), BLOCK):
                block = self._points[start : start + BLOCK]
                yield self._neighbours(np.arange(start, start + len(block)), block, number)
                advance(len(block))

    def neighbours_of(self, places: NDArray[np.int64], number: int) -> Iterator[Block]:
        """As :meth:`neighbours_of_all`, of the points at some places."""
        step = max(1, BLOCK * _USUAL // (number + 1))
        for start in range(0, len(places), step):
            part = places[start : start + step]
            yield self._neighbours(part, self._points.take(part), number)

    def _neighbours(self, places: NDArray[np.int64], block: NDArray[np.float32], number: int) -> Block:
        wanted = min(number + 1, len(self._points))
        asked = wanted if self._exact else min(_CANDIDATES * wanted, len(self._points))
        cosine, found = self._index.search(_padded(block), asked)
        found = np.where((found != places[:, None]) & (cosine >= self._lowest), found, -1).astype(np.int64)
        if self._exact:
            return places, np.where(found < 0, -np.inf, cosine), found
        return places, *_nearest(_cosines(self._points, block, found), found, wanted)


def _nearest(
    cosine: NDArray[np.float32], found: NDArray[np.int64], number: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(B, number) of (B, K) similarities and positions: those with the highest similarities, in no order."""
    columns = np.argpartition(-cosine, number - 1, axis=1)[:, :number]
    return np.take_along_axis(cosine, columns, 1), np.take_along_axis(found, columns, 1)


def _all(points: StoredRows) -> Any:
    """The index of all points, compared one by one."""
    return inner_product_index(_padded(points[:]))


def _inverted_file(points: StoredRows, least: float, seed: int) -> tuple[Any, float]:
    """The index of all points by their codes, and the least approximate similarity of a neighbour.

    The similarity to a code is smaller by what codes lose of a point, and its error is about that of as many random
    directions, 1 / √D.
    """
    import faiss

    count, width = points.shape
    width += -width % _SUB_DIMENSIONS
    most = min(count, _SAMPLE_NUMBERS // width)
    lists = max(1, min(round(1.3 * np.sqrt(count)), most // _LEAST_TRAINING))
    index = faiss.IndexIVFPQFastScan(
        faiss.IndexFlatIP(width), width, lists, width // _SUB_DIMENSIONS, _BITS, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter, index.cp.seed, index.cp.spherical = _ITERATIONS, seed, True
    index.cp.max_points_per_centroid = _TRAINING
    index.nprobe = min(_PROBES, lists)
    sample = _sample(points, min(most, max(_TRAINING * lists, 1 << 14)), seed)
    index.train(sample)
    with progress("codes of all images", count) as advance:
        for start in range(0, count, BLOCK):
            block = points[start : start + BLOCK]
            index.add(_padded(block))
            advance(len(block))
    return index, least * _share_of_a_code(index, sample[: 1 << 12]) - 1 / np.sqrt(width)


def _share_of_a_code(index: Any, sample: NDArray[np.float32]) -> float:
    """The similarity of a point (of length 1) to its code, that of the worst hundredth of a sample."""
    codes = index.pq.decode(index.pq.compute_codes(sample))
    return float(np.quantile(np.einsum("nd,nd->n", sample, codes), 0.01))


def _sample(points: StoredRows, size: int, seed: int) -> NDArray[np.float32]:
    """(size, D) points drawn at random, read in their order."""
    chosen = np.sort(np.random.default_rng(seed).choice(len(points), size, replace=False))
    parts = []
    for start in range(0, len(points), BLOCK):
        first, last = np.searchsorted(chosen, [start, start + BLOCK])
        if first < last:
            parts.append(points[start : start + BLOCK][chosen[first:last] - start])
    return _padded(np.concatenate(parts))


def _padded(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, D) points with zeros behind them, up to a multiple of a sub-quantiser's dimensions."""
    behind = -points.shape[1] % _SUB_DIMENSIONS
    return np.pad(points, ((0, 0), (0, behind))) if behind else np.ascontiguousarray(points)


def _cosines(points: StoredRows, block: NDArray[np.float32], found: NDArray[np.int64]) -> NDArray[np.float32]:
    """(B, K) cosine similarities of the points of a block and the points found for them; −∞ where none is."""
    rows, columns = np.nonzero(found >= 0)
    cosine = np.full(found.shape, -np.inf, dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        others = points.take(found[rows[part], columns[part]])
        cosine[rows[part], columns[part]] = np.einsum("pd,pd->p", block[rows[part]], others)
    return cosine
