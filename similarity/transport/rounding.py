"""Round a smoothed plan to a feasible one with few entries.

A smoothed plan has the right row sums and nearly the right column sums. Altschuler, Weed and Rigollet (NeurIPS 2017,
Algorithm 2) make such a plan feasible in one step, but spread the missing mass over all pairs. Here the rows that
overfill their columns are removed, together with the rows that can change their column at the least cost. Their mass
is transported exactly into the remaining capacity: a small transport problem, whose solution has few entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from similarity.transport.cost_blocks import GroundCosts, NearPairs
from similarity.transport.network_simplex import transport_plan

#: Entries of the smoothed plan below this share of the largest entry of their row are dropped.
_LEAST_SHARE = 1e-3
#: Rows moved exactly: at least _LEAST_MOVED, and one of _ONE_OF; largest numbers of rows and pairs of one problem.
_LEAST_MOVED, _ONE_OF, _MOST_MOVED, _MOST_PAIRS = 2_000, 60, 16_000, 16_000_000

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SparsePlan:
    """A feasible plan as a list of entries.

    Attributes:
        rows: (P,) row of each entry.
        columns: (P,) column of each entry.
        mass: (P,) positive.
        distances: (P,) ground distances, in units of the costs.
        cost: Σ mass × distance, an upper bound of the transport distance.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    mass: _Array
    distances: _Array
    cost: float


def feasible_plan(
    costs: GroundCosts,
    pairs: NearPairs,
    mass: _Array,
    potentials: _Array,
    row_weights: _Array,
    column_weights: _Array,
) -> SparsePlan:
    """Round a smoothed plan to a feasible one.

    Args:
        costs: The ground distances.
        pairs, mass: The (P,) entries of the smoothed plan; each row sums to its weight.
        potentials: (M,) v of the smoothed plan: c_ij − v_j tells what it costs a row to change its column.
        row_weights, column_weights: (N,) and (M,), positive, sum 1.
    """
    n_columns = len(column_weights)
    change = _cost_of_change(pairs, potentials)
    row, column = pairs.rows(), pairs.columns
    kept = mass > _LEAST_SHARE * np.maximum.reduceat(mass, pairs.starts[:-1])[row]
    row, column, mass = row[kept], column[kept], mass[kept]
    mass = mass * (row_weights / np.bincount(row, mass, minlength=len(row_weights)))[row]

    # Free the rows that leave their column at the least cost, until no column is overfull.
    excess = np.bincount(column, mass, minlength=n_columns) - column_weights
    order = np.lexsort((change[row], column))
    before = np.cumsum(mass[order]) - mass[order]
    heads = np.searchsorted(column[order], np.arange(n_columns))
    before -= np.append(before, 0)[heads][column[order]]
    free = np.zeros(len(row_weights), dtype=bool)
    free[row[order[before < excess[column[order]]]]] = True
    # Free the rows with the least cost of change too, so that mass can move by a chain of small changes.
    n_free = min(max(_LEAST_MOVED, len(free) // _ONE_OF), _MOST_MOVED, _MOST_PAIRS // n_columns, len(free))
    spare = max(0, n_free - np.count_nonzero(free))
    others = np.where(free, np.inf, change)
    free[np.argpartition(others, spare - 1)[:spare] if spare else []] = True

    fixed = ~free[row]
    row, column, mass = row[fixed], column[fixed], mass[fixed]
    room = np.maximum(column_weights - np.bincount(column, mass, minlength=n_columns), 0)
    moving = np.flatnonzero(free)
    moving = moving[np.argsort(pairs.columns[pairs.starts[moving]], kind="stable")]  # sorted by region
    moved_row, moved_column, moved_mass = _move(costs, moving, row_weights, room)
    row, column = np.concatenate([row, moved_row]), np.concatenate([column, moved_column])
    mass = np.concatenate([mass, moved_mass])
    distances = costs.of_pairs(row, column)
    return SparsePlan(row, column.astype(np.int64), mass, distances, float(mass @ distances))


def _cost_of_change(pairs: NearPairs, potentials: _Array) -> _Array:
    """(N,) difference between the two smallest reduced costs of a row; infinite if only one pair is listed."""
    reduced = pairs.reduced + (pairs.column_potentials - potentials)[pairs.columns]
    row, heads = pairs.rows(), pairs.starts[:-1]
    least = np.minimum.reduceat(reduced, heads)
    at_least = reduced <= least[row]
    second = np.minimum.reduceat(np.where(at_least, np.inf, reduced), heads)
    return np.where(np.bincount(row[at_least]) > 1, 0, second - least)


def _move(
    costs: GroundCosts, rows: NDArray[np.int64], weights: _Array, room: _Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], _Array]:
    """Transport rows into the ``room`` left in the columns at the least cost; rows, columns and mass of the entries.

    Too many rows are dealt out to several problems, each of which gets its share of the room of every column.
    """
    columns = np.flatnonzero(room)
    deals = -(-len(rows) // min(_MOST_MOVED, max(1, _MOST_PAIRS // len(columns))))
    entries = []
    for deal in range(deals):
        part = rows[deal::deals]
        total = weights[part].sum()
        share = room[columns] / room[columns].sum()
        distances, weight = costs.dense(part, columns), weights[part] / total
        mass, _, _ = transport_plan(distances, weight, share)
        used = np.nonzero(mass)
        entries.append((part[used[0]], columns[used[1]], total * mass[used]))
    row, column, mass = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return row, column, mass
