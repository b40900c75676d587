"""Take every class: what a selection is compared with."""

from similarity.selection.strategies.nearest import nearest_first
from similarity.selection.strategy import Strategy

ALL = Strategy("all", "every class, nearest first", nearest_first, takes_all=True, phrase="all")
