"""Ground distances of many rows to fewer columns, one block at a time: lower bounds in float32, checked in float64.

The c-transform u_i = min_j (c_ij − v_j) of potentials v visits every pair (Peyré and Cuturi, Computational Optimal
Transport, 2019, §5.1). For a million rows it takes one matrix product in float32 and the memory of one block, if the
round-off is subtracted beforehand. For points of width D the computed ‖x‖² − 2x·y + ‖y‖² is wrong by at most
(γ_D + 16u)(‖x‖² + ‖y‖²), where γ_D = D·u / (1 − D·u) bounds the inner product, u is the unit round-off and 16u covers
the other operations (Higham, Accuracy and Stability of Numerical Algorithms, 2002, §3.1). A block therefore holds
*lower bounds* of distances. The few pairs that may be the minimum of their row are computed again in float64, so that
the resulting potentials are exactly feasible.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from similarity.distances import pairwise_distances

#: Entries of one block: 8 MiB in float32.
_BLOCK = 1 << 21
#: Largest number of distances that are kept instead of being computed in each pass: 128 MiB in float32.
_KEPT = 1 << 25
#: Columns that one c-transform handles at a time.
_COLUMNS = 1 << 16
#: Rows sampled to find the width within which pairs are near.
_PROBED = 512
#: Largest loss of a square by underflow, in squares of the unit.
_UNDERFLOW = 2.0**-100
#: Average number of ties of a row beyond which they are not resolved in float64 and the lower bound is used.
_MAX_TIES = 2

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NearPairs:
    """The pairs whose reduced cost c_ij − v_j is near the minimum of its row, as a sparse (N, M) matrix by rows.

    Attributes:
        starts: (N + 1,) index of the first pair of each row.
        columns: (P,) column of each pair.
        reduced: (P,) lower bounds of c_ij − v_j.
        least: (N,) minimum of each row's reduced costs.
        width: Pairs within this of the minimum are listed, unless the row has too many.
        row_potentials: (N,) u, at most min_j (c_ij − v_j) over all columns, listed or not.
        column_potentials: (M,) v.
    """

    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    reduced: NDArray[np.floating]
    least: NDArray[np.floating]
    width: float
    row_potentials: _Array
    column_potentials: _Array

    def rows(self) -> NDArray[np.int64]:
        """(P,) row of each pair."""
        return np.repeat(np.arange(len(self.least)), np.diff(self.starts))

    def bound(self, row_weights: _Array, column_weights: _Array) -> float:
        """Σ a_i u_i + Σ b_j v_j, a lower bound of the cost of every plan between these weights."""
        return float(row_weights @ self.row_potentials + column_weights @ self.column_potentials)


def c_transform(rows: NDArray[np.floating], columns: NDArray[np.floating], potentials: _Array) -> _Array:
    """Feasible potentials u (N,) of points x (N, D), given those v (M,) of other points y (M, D).

    u_i is at most min_j (‖x_i − y_j‖ − v_j), and smaller by at most the round-off of float32.
    """
    u = np.full(len(rows), np.inf)
    for start in range(0, len(columns) if len(rows) else 0, _COLUMNS):
        part = slice(start, start + _COLUMNS)
        costs = GroundCosts(rows, columns[part])
        pairs = costs.near_pairs(potentials[part] / costs.unit, costs.resolution, _MAX_TIES)
        np.minimum(u, pairs.row_potentials * costs.unit, out=u)
    return u


class GroundCosts:
    """Euclidean distances between (N, D) points, the larger side, and (M, D) points, in units of ``unit``.

    Attributes:
        unit: A power of two near the largest coordinate. It keeps squares in range, and dividing by it is exact.
        resolution: Distance, in units, below which a block cannot tell points of average length apart.
    """

    def __init__(
        self, rows: NDArray[np.floating], columns: NDArray[np.floating], dtype: type[np.floating] = np.float32
    ) -> None:
        self._rows, self._columns, self._dtype = rows, columns, dtype
        largest = max(float(end) for side in (rows, columns) for end in (side.max(), -side.min()))
        self.unit = float(2.0 ** np.ceil(np.log2(largest))) if largest > 0 else 1.0
        self._round_off = float(np.finfo(dtype).eps) / 2
        steps = rows.shape[1] * (self._round_off + 2.0**-53)  # of the inner product and the squared lengths
        self._error = steps / (1 - steps) + 16 * self._round_off
        self._origin = np.mean(columns, axis=0, dtype=np.float64)
        points, squares = self._from_origin(columns)
        self._factor = np.ascontiguousarray((-2 * points).T)
        self._column_squares = (squares - _UNDERFLOW).astype(dtype)
        self.resolution = float(np.sqrt(2 * self._error * squares.mean()))
        self._step = max(1, _BLOCK // len(columns))
        self._kept: NDArray[np.floating] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._rows), len(self._columns)

    def take(self, rows: NDArray[np.int64]) -> GroundCosts:
        """The ground distances of some of the rows."""
        taken = copy.copy(self)
        taken._rows, taken._kept = self._rows[rows], None
        return taken

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Slices of rows, with lower bounds of their distances to all columns: read-only, valid until the next one."""
        n, keep = len(self._rows), self._rows.shape[0] * self.shape[1] <= _KEPT
        if self._kept is None:
            memory = np.empty((n if keep else min(n, self._step), self.shape[1]), self._dtype)
        for start in range(0, n, self._step):
            place = slice(start, min(start + self._step, n))
            if self._kept is None:
                points, squares = self._from_origin(self._rows[place])
                block = memory[place] if keep else memory[: len(points)]
                np.matmul(points, self._factor, out=block)
                block += self._column_squares
                block += squares.astype(self._dtype)[:, None]
                np.sqrt(np.maximum(block, 0, out=block), out=block)
            yield place, block if self._kept is None else self._kept[place]
        if keep and self._kept is None:
            self._kept = memory

    def nearest(self) -> NDArray[np.int64]:
        """(N,) nearest column of each row, up to round-off."""
        return np.concatenate([block.argmin(axis=1) for _, block in self.blocks()])

    def dense(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> _Array:
        """(R, C) distances of some rows to some columns."""
        return pairwise_distances(self._rows[rows], self._columns[columns]) / self.unit

    def of_pairs(self, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> _Array:
        """(P,) distances of pairs, exact to about D units in the last place of float64."""
        found = np.empty(len(rows))
        step = max(1, _BLOCK // self._rows.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            difference = self._rows[rows[part]].astype(np.float64) - self._columns[columns[part]]
            found[part] = np.einsum("pd,pd->p", difference, difference)
        return np.sqrt(found, out=found) / self.unit

    def width_of(self, potentials: _Array, pairs: int) -> float:
        """The width within which ``pairs`` pairs a row lie, on average over a random sample of rows."""
        count = min(_PROBED, self.shape[0])
        drawn = np.random.default_rng(0).choice(self.shape[0], count, replace=False)
        excess = []
        for _, block in self.take(drawn).blocks():
            reduced = block - potentials.astype(self._dtype)
            excess.append((reduced - reduced.min(axis=1, keepdims=True)).ravel())
        place = min(pairs, self.shape[1]) * count - 1
        return float(np.partition(np.concatenate(excess), place)[place])

    def near_pairs(
        self, potentials: _Array, width: float, most: int, exempt: NDArray[np.bool_] | None = None
    ) -> NearPairs:
        """Compute the c-transform of the columns' potentials and list the pairs near it, in one pass over all pairs.

        Args:
            potentials: (M,) v, in units.
            width: Largest difference between a listed reduced cost and the minimum of its row, in units.
            most: Largest number of pairs of a row; the nearest ones are listed.
            exempt: (N,) rows to which ``most`` does not apply.
        """
        v = potentials.astype(self._dtype)
        lists: list[tuple[NDArray[Any], ...]] = []
        memory = np.empty((min(self._step, len(self._rows)), len(v)), self._dtype)
        for place, distances in self.blocks():
            block = np.subtract(distances, v, out=memory[: len(distances)])
            first = block.argmin(axis=1)
            least = np.take_along_axis(block, first[:, None], axis=1)
            listed = block <= least + self._dtype(width)
            counts = np.count_nonzero(listed, axis=1)
            reach = np.full(len(block), width)
            crowded = np.flatnonzero(counts > most if exempt is None else (counts > most) & ~exempt[place])
            if len(crowded):
                nearest = np.argpartition(block[crowded], most - 1, axis=1)[:, :most]
                listed[crowded] = False
                listed[crowded[:, None], nearest] = True
                listed[crowded, first[crowded]] = True
                reach[crowded] = (block[crowded[:, None], nearest] - least[crowded]).max(axis=1)
                counts[crowded] = np.count_nonzero(listed[crowded], axis=1)
            flat = np.flatnonzero(listed)
            lists.append((counts, (flat % len(v)).astype(np.int32), block.ravel()[flat], first, least[:, 0], reach))
        counts, columns, reduced, first, least, reach = (np.concatenate(parts) for parts in zip(*lists, strict=True))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        u = self._transform(potentials, starts, columns, reduced, first, least, reach)
        return NearPairs(starts, columns, reduced, least, width, u, potentials)

    def _transform(
        self,
        v: _Array,
        starts: NDArray[np.int32],
        columns: NDArray[np.int32],
        reduced: NDArray[np.floating],
        first: NDArray[np.int64],
        least: NDArray[np.floating],
        reach: _Array,
    ) -> _Array:
        """(N,) potentials of the rows, at most min_j (c_ij − v_j) and as close to it as the listed pairs allow.

        ``first`` and ``least`` are the column and the value of the smallest lower bound of each row; all pairs of the
        row within ``reach`` of it are listed.
        """
        # Round-off of one square root, two subtractions and the rounding of v in a block; then that of of_pairs.
        slack = 8 * self._round_off * (np.abs(least) + reach + 2 * np.abs(v).max())
        tiny = (self._rows.shape[1] + 16) * 2.0**-53
        rows = np.arange(len(least))
        u = self.of_pairs(rows, first) * (1 - tiny) - v[first]
        unlisted = least + reach - slack  # a lower bound of all pairs that are not listed
        row = np.repeat(rows, np.diff(starts))
        tied = np.flatnonzero((reduced <= (u + slack)[row]) & (columns != first[row]))
        if len(tied) <= _MAX_TIES * len(rows):
            row, column = row[tied], columns[tied]
            np.minimum.at(u, row, self.of_pairs(row, column) * (1 - tiny) - v[column])
        else:
            unlisted = least - slack
        return np.minimum(u, unlisted) - 2.0**-52 * np.abs(v).max()

    def _from_origin(self, points: NDArray[np.floating]) -> tuple[NDArray[np.floating], _Array]:
        """Points relative to the mean of the columns, in units, and their squared lengths less the round-off bound."""
        points = (points - self._origin) * (1 / self.unit)
        return points.astype(self._dtype), np.einsum("pd,pd->p", points, points) * (1 - self._error)
