"""Take the classes nearest to the target on average: the paper's greedy ranking (Cui et al., CVPR 2018)."""

from __future__ import annotations

import numpy as np

from features.bank import FeatureBank
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Ordering, Seed, Strategy


def nearest_first(pool: SourcePool, target: FeatureBank, size: int, seed: Seed) -> Ordering:
    """The ``size`` classes of the least Earth Mover's Distance of their own to the target; ``seed`` is not used."""
    scores = pool.scores(target)
    return Ordering(np.argsort(scores, kind="stable")[:size], scores)


NEAREST = Strategy("nearest", "classes nearest to the target on average, as in the paper", nearest_first)
