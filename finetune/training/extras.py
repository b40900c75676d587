"""What a training takes besides its images, its options and the weights of the backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.infrastructure.errors import InputError
from finetune.classifiers.second_stage import TrainedClassifier
from finetune.shared_options.option_groups import LossAndSampler


@dataclass(frozen=True)
class SourceImages:
    """Images of source classes to co-train on, and λ, the weight of their loss."""

    dataset: ImageDataset
    weight: float


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a training takes besides its images, its options and the weights of the backbone.

    Attributes:
        classifier: Maps the training images to the linear classifier to start from; None for a new one.
        interpolate: How far the kept weights lie from the start towards the trained ones, above 0 to 1.
        start: The model that the training starts from: images that its runs were trained on are not held out.
        seen: (C,) images of each class that the start was trained on; many, medium and few go by the larger count.
        probabilities: Maps the counts (C,) of the training images to the probability that each class is drawn (C,);
            None to draw by the sampler.
        co_training: Source images to co-train on, with a head of their own; None for none.
        inputs: Hashes of further inputs of the run, by name.
        card: Entries of the checkpoint's card that replace those of this training.
    """

    classifier: Callable[[ImageDataset], TrainedClassifier] | None = None
    interpolate: float = 1.0
    start: str = ""
    seen: NDArray[np.int64] | None = None
    probabilities: Callable[[NDArray[np.int64]], NDArray[np.float64]] | None = None
    co_training: SourceImages | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def keeping(self, kept: TrainedClassifier, config: LossAndSampler) -> Extras:
        """The same with a trained classifier to start from, which stays balanced if the training does not balance.

        Raises ``InputError`` if the loss reads scores by a sigmoid and the classifier is of a softmax, or vice versa.
        """
        row, balanced_by = config.loss_row, config.balanced_by()
        if row.sigmoid != kept.sigmoid:
            reads, read = ("a sigmoid", "a softmax") if row.sigmoid else ("a softmax", "a sigmoid")
            raise InputError(
                f"`loss` {row.name}: reads scores by {reads}, and the classifier of `init` {kept.location} was trained "
                f"for {read}; give a loss of its kind (see transfer inspect losses), or start a new classifier"
            )
        inputs = {**self.inputs, "trained classifier": kept.sha256()}
        card = {**self.card, "balanced_by": balanced_by or kept.balanced_by}
        return replace(self, classifier=lambda _: kept, inputs=inputs, card=card)
