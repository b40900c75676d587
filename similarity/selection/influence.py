"""Choose by the measured effect of each class on the target, in trainings with and without it.

The influence of a class on a target is the mean accuracy on the target of networks that were trained with the class,
less that of networks trained without it (Jain et al., "A Data-Based Perspective on Transfer Learning", CVPR 2023).
"""

from __future__ import annotations

import math

import numpy as np

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import read_rows
from features.infrastructure.storage.addresses import Location
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Ordering, Seed, Strategy

COLUMNS = ("source", "class", "target", "influence")


def by_influence(path: str | Location) -> Strategy:
    """The strategy that takes the classes of the largest influence in a table first; the score is its negative.

    The table is CSV with at least :data:`COLUMNS`, in which sources and targets are dataset specs. Its strategy has no
    shares. The ordering raises ``InputError`` for a target or a class of the pool that the table lacks.

    Raises:
        InputError: The table cannot be read, an influence is not a finite number, or a class occurs twice for a target.
    """
    measured = _read(path)

    def order(pool: SourcePool, target: FeatureBank, size: int, seed: Seed) -> Ordering:
        if target.name not in measured:
            raise InputError(f"`influence` {path}: has no target {target.name}; it has {', '.join(sorted(measured))}")
        of_target = measured[target.name]
        origin = [(pool.banks[bank].name, name) for bank, name in zip(pool.bank, pool.classes, strict=True)]
        missing = [class_ for class_ in origin if class_ not in of_target]
        if missing:
            source, name = missing[0]
            raise InputError(
                f"`influence` {path}: has no influence of {len(missing)} of {len(origin)} classes on {target.name}, "
                f"such as that of {name!r} of {source}"
            )
        return Ordering.ascending(-np.array([of_target[class_] for class_ in origin]), size)

    return Strategy("influence", "classes of the largest measured influence", order, ranked_by="score")


def _read(path: str | Location) -> dict[str, dict[tuple[str, str], float]]:
    """Target → (source, class) → influence."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for line, row in read_rows(path, COLUMNS, kind="table of influences"):
        try:
            value = float(row["influence"])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{path} line {line}: influence must be a number, got {row['influence']!r}")
        of_target = found.setdefault(row["target"], {})
        if (row["source"], row["class"]) in of_target:
            raise InputError(f"{path} line {line}: class {row['class']!r} of {row['source']} stands there twice")
        of_target[row["source"], row["class"]] = value
    if not found:
        raise InputError(f"{path}: the table has no row; expected {','.join(COLUMNS)}")
    return found
