"""Rank classes by the mass that they send when the target need not be served by all of them (Liu et al., NeurIPS 2022).

Balanced transport forces each source class to send all its mass somewhere. Here the plan T solves

    min ⟨T, C⟩ − H(T) + 1·KL(T·1 ‖ a) + 100·KL(Tᵀ·1 ‖ b),    C = (1 − cosine) / 0.1,

with equal masses a of the source classes and masses b of the target's classes by their images, so that the target is
served almost whole while far source classes keep their mass. The share of a class is its row sum over the sum of all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.distances import shares
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Seed, Strategy, by_share

#: Divisor of the cosine distance, and the penalties of the masses of source and target: those of the paper.
TEMPERATURE, PENALTIES = 0.1, (1.0, 100.0)


def transported_shares(pool: SourcePool, target: FeatureBank, seed: Seed) -> NDArray[np.float64]:
    """(S,) row sums of the plan, which holds all S × T pairs, over their sum."""
    from ot.unbalanced import sinkhorn_knopp_unbalanced

    x, y = (_unit(points) for points in (pool.points, pool.metric.points(target.means)))
    cost = (1 - x @ y.T) / TEMPERATURE
    masses = np.full(len(x), 1 / len(x)), shares(target.counts)
    plan = sinkhorn_knopp_unbalanced(*masses, cost, reg=1.0, reg_m=PENALTIES, c=np.ones_like(cost))
    return shares(plan.sum(axis=1))


def _unit(points: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1)


UNBALANCED_TRANSPORT = Strategy(
    "unbalanced-transport",
    "classes that send the most mass to the target when source mass may stay unsent",
    by_share(transported_shares),
    ranked_by="score",
    has_shares=True,
)
