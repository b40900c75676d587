"""Draw classes at random: the control of every other strategy."""

from __future__ import annotations

import numpy as np

from features.bank import FeatureBank
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Ordering, Seed, Strategy


def at_random(pool: SourcePool, target: FeatureBank, size: int, seed: Seed) -> Ordering:
    """``size`` classes drawn without replacement; the scores are their mean distances to the target."""
    return Ordering(np.random.default_rng(seed).permutation(len(pool))[:size], pool.scores(target))


RANDOM = Strategy("random", "classes drawn at random, the control", at_random, phrase="{classes} at random", place=1)
