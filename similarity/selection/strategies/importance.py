"""Rank classes by how many images of the target they are nearest to (feature mapping, Zhang et al., NeurIPS 2023).

Each image of the target counts for the source class whose mean is nearest to it. A bank that keeps its images gives
them; for others, images are drawn from a Gaussian for each class, with its mean and its variance of each feature.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.distances import nearest_distances, shares
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import DEFAULT_STRATEGY, Seed, Strategy, by_share

#: Images drawn for each class of a bank that keeps none.
DRAWS = 50
#: Images that are mapped at a time.
_ROWS = 4096


def image_shares(pool: SourcePool, target: FeatureBank, seed: Seed) -> NDArray[np.float64]:
    """(S,) share of the target's images whose nearest class is each class of the pool."""
    counted = np.zeros(len(pool))
    for images, weights in _images(target, seed):
        nearest = nearest_distances(pool.points, pool.metric.points(images))[2]
        counted += np.bincount(nearest, weights=weights, minlength=len(pool))
    return shares(counted)


def _images(target: FeatureBank, seed: Seed) -> Iterator[tuple[NDArray[np.floating], NDArray[np.float64]]]:
    """Blocks of the target's images, or of draws from its classes, and the weight of each: classes count as images."""
    if target.keeps_images:
        for images in target.image_blocks(_ROWS):
            yield images, np.ones(len(images))
        return
    if target.variances is None:
        raise InputError(
            f"`strategy` importance: looks at the images of the target or draws them from its variances, and "
            f"{target.name} is made of class means alone; choose another strategy, such as {DEFAULT_STRATEGY}"
        )
    generator = np.random.default_rng(seed)
    step = max(1, _ROWS // DRAWS)
    for start in range(0, len(target.classes), step):
        labels = np.repeat(np.arange(start, min(start + step, len(target.classes))), DRAWS)
        noise = generator.standard_normal((len(labels), target.means.shape[1]), dtype=np.float32)
        yield target.means[labels] + np.sqrt(target.variances)[labels] * noise, target.counts[labels] / DRAWS


IMPORTANCE = Strategy(
    "importance",
    "classes that are nearest to the most images of the target",
    by_share(image_shares),
    ranked_by="score",
    has_shares=True,
)
