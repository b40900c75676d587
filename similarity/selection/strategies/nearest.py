"""Take the classes nearest to the target on average: the paper's greedy ranking (Cui et al., CVPR 2018)."""

from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Strategy, by_score

NEAREST = Strategy("nearest", "classes nearest to the target on average, as in the paper", by_score(SourcePool.scores))
