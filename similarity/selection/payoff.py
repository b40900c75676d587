"""What a choice of source classes can be expected to gain in accuracy on its target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import STRATEGIES
from similarity.selection.subset import Subset, SubsetRow
from similarity.uncertainty.expected_gain import Expectation, case, expected_gain, nearness


def expected_gains(pool: SourcePool, targets: Sequence[FeatureBank], subset: Subset) -> dict[str, Expectation]:
    """For each target by dataset spec, what pre-training on the chosen classes can be expected to gain.

    A target for which all classes are taken has no entry: there is nothing that such a choice could gain over others.

    Args:
        pool: The source classes, in a geometry fitted to the targets.
        targets: Their banks.
        subset: What was chosen from the pool.
    """
    found = {}
    for target in targets:
        rows = [row for row in subset.rows if target.name in row.targets]
        sizes = case(len(rows) / len(pool), target)
        if len(rows) == len(pool):
            continue
        if unknown := _other_choice(subset, targets):
            found[target.name] = Expectation(None, None, sizes, unknown)
            continue
        near = partial(_nearness, pool, target, rows)
        found[target.name] = expected_gain("classes", [target, *pool.banks], pool.metric.name, sizes, near)
    return found


def positions(pool: SourcePool, classes: Iterable[tuple[str, str]]) -> NDArray[np.int64]:
    """Positions in the pool of some classes, each given by the dataset spec of its source and its name.

    Raises:
        InputError: The pool lacks one of them.
    """
    origin = zip(pool.bank, pool.classes, strict=True)
    place = {(pool.banks[bank].name, name): i for i, (bank, name) in enumerate(origin)}
    try:
        return np.array([place[one] for one in classes], dtype=np.int64)
    except KeyError as error:
        source, name = error.args[0]
        raise InputError(f"the banks have no class {name!r} of {source}") from error


def _other_choice(subset: Subset, targets: Sequence[FeatureBank]) -> str:
    """What choices were measured, in words, if this one is not of them; else empty."""
    if len(targets) > 1:
        return "measured for choices for one target"
    strategy = subset.provenance["strategy"]
    by_similarity = strategy in STRATEGIES and STRATEGIES[strategy].place == 0
    return "" if by_similarity else f"measured for choices by similarity, not by {strategy}"


def _nearness(pool: SourcePool, target: FeatureBank, rows: Sequence[SubsetRow]) -> float:
    chosen = positions(pool, [(row.source, row.class_name) for row in rows])
    return nearness(pool.distances(target), target.counts, chosen)
