"""What a training takes besides its images, its options and the weights of the backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from finetune.classifiers.second_stage import TrainedClassifier


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a training takes besides its images, its options and the weights of the backbone.

    Attributes:
        classifier: The images that are trained on to the linear classifier to start from; None for a new one.
        interpolate: How far the kept weights lie from the start towards the trained ones, above 0 to 1.
        seen: (C,) images of each class that the start was trained on; many, medium and few go by the larger count.
        probabilities: The counts (C,) of the training images to the probability with which each class is drawn (C,);
            None to draw by the sampler.
        co_trained: Images to co-train on, with a head of their own; None for none.
        co_weight: λ, what their loss is multiplied by.
        inputs: Hashes of further inputs of the run, by name.
        card: Entries of the checkpoint's card about the classifier that replace those of this training.
    """

    classifier: Callable[[ImageDataset], TrainedClassifier] | None = None
    interpolate: float = 1.0
    seen: NDArray[np.int64] | None = None
    probabilities: Callable[[NDArray[np.int64]], NDArray[np.float64]] | None = None
    co_trained: ImageDataset | None = None
    co_weight: float = 0.0
    inputs: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
