"""Rank classes by their mean distance to the target, as the paper does (Cui et al., CVPR 2018); or take all of them."""

from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Strategy, by_score

NEAREST = Strategy("nearest", "classes nearest to the target on average, as in the paper", by_score(SourcePool.scores))
ALL = Strategy("all", "every class, nearest first", by_score(SourcePool.scores), takes_all=True, phrase="all", place=1)
