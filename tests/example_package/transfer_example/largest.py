"""Take the classes of the most images: what one does without a target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Strategy, by_score


def fewest_first(pool: SourcePool, target: FeatureBank) -> NDArray[np.float64]:
    """(S,) minus the number of images of each class."""
    return -pool.counts.astype(np.float64)


LARGEST = Strategy("largest", "classes of the most images, a control", by_score(fewest_first), ranked_by="score")
