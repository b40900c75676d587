"""Take the classes that are nearer to the target than to their own neighbours, so that hubs lose their lead.

A hub is a class that lies near everything. Local scaling is CSLS (Conneau et al., ICLR 2018) with the scale taken
within the sources: see :func:`similarity.selection.pool.class_scores`.
"""

from __future__ import annotations

import numpy as np

from features.bank import FeatureBank
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Ordering, Seed, Strategy


def locally_scaled(pool: SourcePool, target: FeatureBank, size: int, seed: Seed) -> Ordering:
    """The ``size`` classes of the least locally scaled score; ``seed`` is not used."""
    scores = pool.scores(target, pool.crowding)
    return Ordering(np.argsort(scores, kind="stable")[:size], scores)


LOCAL_SCALING = Strategy(
    "local-scaling",
    "as nearest, less the distance to the class's own neighbours: hubs lose their lead",
    locally_scaled,
    ranked_by="score",
)
