"""Take every class: what a selection is compared with."""

from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Strategy, by_score

ALL = Strategy("all", "every class, nearest first", by_score(SourcePool.scores), takes_all=True, phrase="all", place=1)
