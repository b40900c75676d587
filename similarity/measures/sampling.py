"""Random samples of images that do not depend on the order of the images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Most images of a source that measures load, and of each side that a kernel compares.
MOST_IMAGES = 5_000
#: Images converted to float64 at once.
_ROWS = 1 << 13


def sample(features: NDArray[np.floating], most: int, seed: int = 0) -> NDArray[np.int64]:
    """Indices of at most ``most`` images, in an order that depends on their features alone.

    Images (N, D) are sorted along a random direction before they are drawn, so that shuffling a dataset changes no
    value computed on a sample of it. Images with equal features keep their order.

    Raises:
        ValueError: ``most`` is less than 1.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    generator = np.random.default_rng(seed)
    direction = generator.standard_normal(features.shape[1])
    starts = range(0, len(features), _ROWS)
    along = np.concatenate([features[start : start + _ROWS].astype(np.float64) @ direction for start in starts])
    order = np.argsort(along, kind="stable")
    if len(order) <= most:
        return order
    return order[generator.choice(len(order), most, replace=False)]
