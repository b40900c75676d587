"""From a smoothed plan to a feasible one with few entries.

A smoothed plan has the right row sums, and column sums that are nearly right. Altschuler, Weed and Rigollet (NeurIPS
2017) make such a plan feasible at once, but spread what is missing over all pairs. Here the rows that overfill their
columns are taken out, with those rows that can change column at the least cost, and their mass is moved exactly
into what the others leave: a small transport problem, whose solution has few entries and knows every detour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from similarity.transport.cost_blocks import GroundCosts, NearPairs
from similarity.transport.network_simplex import transport_plan

#: Share of the largest entry of its row below which an entry of the smoothed plan is left out.
_LEAST_SHARE = 1e-3
#: Rows that are moved exactly: at least, of so many in the whole one, and at most at a time; and pairs at a time.
_LEAST_MOVED, _ONE_OF, _MOST_MOVED, _MOST_PAIRS = 2_000, 60, 16_000, 16_000_000

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SparsePlan:
    """A feasible plan, entry by entry.

    Attributes:
        rows: (P,) row of each entry.
        columns: (P,) its column.
        mass: (P,) positive.
        distances: (P,) ground distances in the units of the costs.
        cost: Σ mass × distance: the transport distance is not larger.
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
    *,
    max_iterations: int,
) -> SparsePlan:
    """Make a smoothed plan feasible.

    Args:
        costs: The ground distances.
        pairs: Where the smoothed plan has entries.
        mass: (P,) its entries; the rows sum to their weights.
        potentials: (M,) v that it was found with: what it costs a row to change column is told by c_ij − v_j.
        row_weights: (N,) positive, sum 1.
        column_weights: (M,) positive, sum 1.
        max_iterations: Pivots after which the exact solver gives up.

    Raises:
        RuntimeError: The exact solver did not finish.
    """
    n_columns = len(column_weights)
    change = _cost_of_change(pairs, potentials)
    row, column = pairs.rows(), pairs.columns
    kept = mass > _LEAST_SHARE * np.maximum.reduceat(mass, pairs.starts[:-1])[row]
    row, column, mass = row[kept], column[kept], mass[kept]
    mass = mass * (row_weights / np.bincount(row, mass, minlength=len(row_weights)))[row]

    # Of each column that is too full, the entries whose rows leave at the least cost, until it is not.
    excess = np.bincount(column, mass, minlength=n_columns) - column_weights
    order = np.lexsort((change[row], column))
    before = np.cumsum(mass[order]) - mass[order]
    heads = np.searchsorted(column[order], np.arange(n_columns))
    before -= np.append(before, 0)[heads][column[order]]
    free = np.zeros(len(row_weights), dtype=bool)
    free[row[order[before < excess[column[order]]]]] = True
    # And the rows for which a change costs least, so that mass can go by a chain of small changes.
    moved = min(max(_LEAST_MOVED, len(free) // _ONE_OF), _MOST_MOVED, _MOST_PAIRS // n_columns, len(free))
    spare = max(0, moved - np.count_nonzero(free))
    others = np.where(free, np.inf, change)
    free[np.argpartition(others, spare - 1)[:spare] if spare else []] = True

    fixed = ~free[row]
    row, column, mass = row[fixed], column[fixed], mass[fixed]
    room = np.maximum(column_weights - np.bincount(column, mass, minlength=n_columns), 0)
    moving = np.flatnonzero(free)
    moving = moving[np.argsort(pairs.columns[pairs.starts[moving]], kind="stable")]  # region by region
    into = _move(costs, moving, row_weights, room, max_iterations)
    row, column = np.concatenate([row, into[0]]), np.concatenate([column, into[1]])
    mass = np.concatenate([mass, into[2]])
    distances = costs.of_pairs(row, column)
    return SparsePlan(row, column.astype(np.int64), mass, distances, float(mass @ distances))


def _cost_of_change(pairs: NearPairs, potentials: _Array) -> _Array:
    """(N,) by how much a row's second least reduced cost is beyond the least; infinite where only one is listed."""
    reduced = pairs.reduced + (pairs.column_potentials - potentials)[pairs.columns]
    row, heads = pairs.rows(), pairs.starts[:-1]
    least = np.minimum.reduceat(reduced, heads)
    at_least = reduced <= least[row]
    second = np.minimum.reduceat(np.where(at_least, np.inf, reduced), heads)
    return np.where(np.bincount(row[at_least]) > 1, 0, second - least)


def _move(
    costs: GroundCosts, rows: NDArray[np.int64], weights: _Array, room: _Array, max_iterations: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], _Array]:
    """The cheapest way to move rows into the room that columns have; rows, columns and mass of its entries.

    Too many rows are dealt out to several problems, each of which gets its share of all room.
    """
    columns = np.flatnonzero(room)
    deals = -(-len(rows) // min(_MOST_MOVED, max(1, _MOST_PAIRS // len(columns))))
    entries = []
    for deal in range(deals):
        part = rows[deal::deals]
        total = weights[part].sum()
        share = room[columns] / room[columns].sum()
        distances, weight = costs.dense(part, columns), weights[part] / total
        mass, _, _ = transport_plan(distances, weight, share, max_iterations=max_iterations)
        from_, to = np.nonzero(mass)
        entries.append((part[from_], columns[to], total * mass[from_, to]))
    moved, into, mass = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return moved, into, mass
