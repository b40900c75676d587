"""Rank classes by their distance to the target class that they are nearest to.

A target of many classes is not one point: a class serves it by being near to some of its classes, and the mean distance
to all of them hides that. The share of a class is that of the target's classes whose nearest source class it is.
"""

from features.bank import FeatureBank
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Ordering, Seed, Strategy


def by_nearest_class(pool: SourcePool, target: FeatureBank, size: int, seed: Seed) -> Ordering:
    """The classes of the least distance to their nearest target class."""
    distances, shares = pool.nearest(target)
    return Ordering.ascending(distances, size, shares)


NEAREST_CLASS = Strategy(
    "nearest-class",
    "classes nearest to any one class of the target",
    by_nearest_class,
    ranked_by="score",
    has_shares=True,
)
