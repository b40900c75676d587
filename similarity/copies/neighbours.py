"""The nearest neighbours of every point among all others, for more points than fit in memory.

Up to :data:`EXACT` points are compared with each other. More are put into an inverted file (IVF) of product-quantised
residuals (Jégou, Douze and Schmid, 2011; André, Kermarrec and Le Scouarnec, 2017, for the 4-bit codes), which takes
half a byte for each four features. It proposes candidates, and their cosine similarity is then computed from the points
on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.console import progress
from features.infrastructure.disk.stored_rows import Rows
from similarity.distances import inner_product_index

#: Most points that are compared with each other, all with all.
EXACT = 1 << 15
#: Points of a block, and most numbers (float32: 256 MiB) of the sample that the lists and codes are learned from.
BLOCK, _SAMPLE_NUMBERS = 1 << 14, 1 << 26
#: Features of one 4-bit code.
_OF_A_CODE = 4
#: Lists that are searched for a point, points that each list is learned from, and iterations of that.
_SEARCHED, _LEARNED_FROM, _ITERATIONS = 32, 64, 8
#: What an approximate similarity may lack beyond the share that codes lose.
_MARGIN = 0.05

#: First row, (B, K) cosine similarities and (B, K) positions of the neighbours of a block of points.
Block = tuple[int, NDArray[np.float32], NDArray[np.int64]]


def neighbours(points: Rows, number: int, least: float, seed: int = 0, first: int = 0) -> Iterator[Block]:
    """Yield the nearest other points of each point, block by block.

    Args:
        points: (N, D) points of length 1.
        number: K, how many neighbours of each point.
        least: Cosine similarity below which neighbours need not be found.
        seed: Of the sample that the lists and codes are learned from.
        first: The first point to look at; a multiple of :data:`BLOCK`.

    Yields:
        The row of the first point of a block, and the (B, K) cosine similarities and positions of neighbours, in no
        order; −∞ and −1 where there are fewer.
    """
    exact = len(points) <= EXACT
    index, lowest = (_all(points), -np.inf) if exact else _inverted_file(points, least, seed)
    number = min(number + 1, len(points))  # a point is its own neighbour
    with progress("neighbours", len(points)) as advance:
        advance(first)
        for start in range(first, len(points), BLOCK):
            block = points[start : start + BLOCK]
            cosine, found = index.search(_padded(block), number)
            own = np.arange(start, start + len(block))[:, None]
            found = np.where((found != own) & (cosine >= lowest), found, -1).astype(np.int64)
            yield start, np.where(found < 0, -np.inf, cosine) if exact else _exact(points, block, found), found
            advance(len(block))


def _all(points: Rows) -> Any:
    """The index of all points, compared one by one."""
    return inner_product_index(_padded(points[:]))


def _inverted_file(points: Rows, least: float, seed: int) -> tuple[Any, float]:
    """The index of all points by their codes, and the least approximate similarity of a neighbour."""
    import faiss

    count, width = points.shape
    width += -width % _OF_A_CODE
    lists = 1 << round(np.log2(1.3 * np.sqrt(count)))
    index = faiss.IndexIVFPQFastScan(
        faiss.IndexFlatIP(width), width, lists, width // _OF_A_CODE, 4, faiss.METRIC_INNER_PRODUCT
    )
    index.own_fields = False
    index.cp.niter, index.cp.seed, index.cp.spherical = _ITERATIONS, seed, True
    index.cp.max_points_per_centroid = _LEARNED_FROM
    index.nprobe = min(_SEARCHED, lists)
    sample = _sample(points, min(count, _LEARNED_FROM * lists, max(_SAMPLE_NUMBERS // width, lists)), seed)
    index.train(sample)
    with progress("codes of all images", count) as advance:
        for start in range(0, count, BLOCK):
            block = points[start : start + BLOCK]
            index.add(_padded(block))
            advance(len(block))
    return index, least * _share_of_a_code(index, sample[: 1 << 12]) - _MARGIN


def _share_of_a_code(index: Any, sample: NDArray[np.float32]) -> float:
    """The similarity of a point (of length 1) to its code, that of the worst hundredth of a sample."""
    _, lists = index.quantizer.search(sample, 1)
    centres = np.stack([index.quantizer.reconstruct(int(number)) for number in lists[:, 0]])
    codes = index.pq.decode(index.pq.compute_codes(np.ascontiguousarray(sample - centres)))
    return float(np.quantile(np.einsum("nd,nd->n", sample, codes + centres), 0.01))


def _sample(points: Rows, size: int, seed: int) -> NDArray[np.float32]:
    """(size, D) points drawn at random, read in their order."""
    chosen = np.sort(np.random.default_rng(seed).choice(len(points), size, replace=False))
    parts = []
    for start in range(0, len(points), BLOCK):
        first, last = np.searchsorted(chosen, [start, start + BLOCK])
        if first < last:
            parts.append(points[start : start + BLOCK][chosen[first:last] - start])
    return _padded(np.concatenate(parts))


def _padded(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, D) points with zeros behind them, up to a multiple of the features of a code."""
    behind = -points.shape[1] % _OF_A_CODE
    return np.pad(points, ((0, 0), (0, behind))) if behind else np.ascontiguousarray(points)


def _exact(points: Rows, block: NDArray[np.float32], found: NDArray[np.int64]) -> NDArray[np.float32]:
    """(B, K) cosine similarities of the points of a block and the points found for them; −∞ where none is."""
    rows, columns = np.nonzero(found >= 0)
    cosine = np.full(found.shape, -np.inf, dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        others = points.take(found[rows[part], columns[part]])
        cosine[rows[part], columns[part]] = np.einsum("pd,pd->p", block[rows[part]], others)
    return cosine
