"""Images drawn by chance, the same ones in whatever order they lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Images that become float64 at once.
_ROWS = 1 << 13


def sample(features: NDArray[np.floating], most: int, seed: int = 0) -> NDArray[np.int64]:
    """Positions of at most so many images, in an order that depends on their features alone.

    Images are sorted along a random direction before they are drawn, so that shuffling a data set changes no figure
    that is computed on a part of it. Images that coincide keep the order in which they lie.

    Args:
        features: (N, D), any float type.
        most: How many at most, at least 1.
        seed: Of the direction and the draw.

    Returns:
        (min(N, most),) int64, without repetition.

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
