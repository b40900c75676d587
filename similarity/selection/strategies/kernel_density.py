"""Rank classes by the density of the target around them: a Gaussian kernel estimate (Parzen, 1962).

The share of the target class j that source class i serves is K_ij / Σ_i K_ij with the kernel K_ij = exp(−d_ij² / h_j),
and the share of the target is their mean over its classes, weighted by images. The bandwidth h_j is the standard
deviation of the squared distances d_ij² over the source classes: the scale on which their distances to j differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.distances import shares
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Seed, Strategy, by_share


def density_shares(pool: SourcePool, target: FeatureBank, seed: Seed) -> NDArray[np.float64]:
    """(S,) share of the target that each class serves; all S × T distances are held."""
    squares = np.square(pool.distances(target))
    squares -= squares.min(axis=0)
    bandwidth = squares.std(axis=0)
    kernel = np.exp(-squares / np.where(bandwidth > 0, bandwidth, 1))
    return np.asarray(kernel / kernel.sum(axis=0) @ shares(target.counts))


KERNEL_DENSITY = Strategy(
    "kernel-density",
    "classes around which the target is dense",
    by_share(density_shares),
    ranked_by="score",
    has_shares=True,
)
