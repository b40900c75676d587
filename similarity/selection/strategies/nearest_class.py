"""Rank classes by their distance to the target class that they are nearest to.

A target of many classes is not one point: a class serves it by being near to some of its classes, and the mean distance
to all of them hides that. The share of a class is that of the target's classes whose nearest source class it is.
"""

from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Strategy, by_score

NEAREST_CLASS = Strategy(
    "nearest-class",
    "classes nearest to any one class of the target",
    by_score(lambda pool, target: pool.nearest(target)[0], SourcePool.nearest_shares),
    ranked_by="score",
    has_shares=True,
)
