"""What a choice of source classes can be expected to gain in accuracy on its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.selection.pool import SourcePool
from similarity.selection.subset import Subset, SubsetRow
from similarity.uncertainty.expected_gain import Expectation, expected_gain, nearness


def expected_gains(pool: SourcePool, targets: Sequence[FeatureBank], subset: Subset) -> dict[str, Expectation]:
    """For each target by dataset spec, what pre-training on the chosen classes can be expected to gain.

    Args:
        pool: The source classes, in a geometry fitted to the targets.
        targets: Their banks.
        subset: What was chosen from the pool.
    """
    found = {}
    for target in targets:
        chosen = positions(pool, [row for row in subset.rows if target.name in row.targets])
        sizes = case(pool, target, chosen)
        if len(targets) > 1:
            found[target.name] = Expectation(None, None, sizes, "measured for choices for one target")
            continue
        near = partial(_nearness, pool, target, chosen)
        found[target.name] = expected_gain("classes", [target, *pool.banks], pool.metric.name, sizes, near)
    return found


def positions(pool: SourcePool, rows: Sequence[SubsetRow]) -> NDArray[np.int64]:
    """Positions in the pool of the classes of a subset."""
    origin = zip(pool.bank, pool.classes, strict=True)
    place = {(pool.banks[bank].name, name): i for i, (bank, name) in enumerate(origin)}
    return np.array([place[row.source, row.class_name] for row in rows])


def case(pool: SourcePool, target: FeatureBank, chosen: NDArray[np.integer]) -> Mapping[str, float]:
    """The sizes of a choice, as :func:`similarity.uncertainty.expected_gain.expected_gain` takes them."""
    return {
        "share": len(chosen) / len(pool),
        "target_classes": len(target.classes),
        "images": float(target.counts.mean()),
    }


def _nearness(pool: SourcePool, target: FeatureBank, chosen: NDArray[np.integer]) -> float:
    return nearness(pool.distances(target), target.counts, chosen)
