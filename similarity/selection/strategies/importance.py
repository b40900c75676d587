"""Rank classes by how many images of the target they are nearest to (feature mapping, Zhang et al., NeurIPS 2023).

Each image of the target counts for the source class whose mean is nearest to it. A bank that keeps its images gives
them; for others, images are drawn from a Gaussian for each class, with its mean and its variance of each feature.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.distances import nearest_distances, shares
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Seed, Strategy, by_share

#: Images drawn for each class of a bank that keeps none.
DRAWS = 50


def image_shares(pool: SourcePool, target: FeatureBank, seed: Seed) -> NDArray[np.float64]:
    """(S,) share of the target's images whose nearest class is each class of the pool."""
    images, labels = _images(target, seed)
    nearest = nearest_distances(pool.points, pool.metric.points(images))[2]
    weights = (target.counts / np.bincount(labels, minlength=len(target.classes)))[labels]
    return shares(np.bincount(nearest, weights=weights, minlength=len(pool)))


def _images(target: FeatureBank, seed: Seed) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Features (N, D) and labels (N,) of the target's images, or of draws from its classes."""
    if target.keeps_images:
        features, labels, _ = target.images()
        return features, labels
    labels = np.repeat(np.arange(len(target.classes)), DRAWS)
    noise = np.random.default_rng(seed).standard_normal((len(labels), target.means.shape[1]), dtype=np.float32)
    return target.means[labels] + np.sqrt(target.variances)[labels] * noise, labels


IMPORTANCE = Strategy(
    "importance",
    "classes that are nearest to the most images of the target",
    by_share(image_shares),
    ranked_by="score",
    has_shares=True,
)
