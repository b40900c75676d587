"""What a choice of source classes can be expected to gain in accuracy on its target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.selection.pool import SourcePool
from similarity.selection.subset import Subset, SubsetRow
from similarity.uncertainty.expected_gain import Expectation, case, expected_gain, nearness


def expected_gains(pool: SourcePool, targets: Sequence[FeatureBank], subset: Subset) -> dict[str, Expectation]:
    """For each target by dataset spec, what pre-training on the chosen classes can be expected to gain.

    Args:
        pool: The source classes, in a geometry fitted to the targets.
        targets: Their banks.
        subset: What was chosen from the pool.
    """
    found = {}
    for target in targets:
        rows = [row for row in subset.rows if target.name in row.targets]
        sizes = case(len(rows) / len(pool), target)
        if len(targets) > 1:
            found[target.name] = Expectation(None, None, sizes, "measured for choices for one target")
            continue
        near = partial(_nearness, pool, target, rows)
        found[target.name] = expected_gain("classes", [target, *pool.banks], pool.metric.name, sizes, near)
    return found


def positions(pool: SourcePool, rows: Sequence[SubsetRow]) -> NDArray[np.int64]:
    """Positions in the pool of the classes of a subset."""
    origin = zip(pool.bank, pool.classes, strict=True)
    place = {(pool.banks[bank].name, name): i for i, (bank, name) in enumerate(origin)}
    return np.array([place[row.source, row.class_name] for row in rows])


def _nearness(pool: SourcePool, target: FeatureBank, rows: Sequence[SubsetRow]) -> float:
    return nearness(pool.distances(target), target.counts, positions(pool, rows))
