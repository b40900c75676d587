"""Deferred re-sampling (DRS): Cao et al., NeurIPS 2019."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finetune.samplers.base import EpochSampler


class DeferredSampler(EpochSampler):
    """The draws of ``first`` in the epochs below ``switch``, then those of ``then``, which has the same seed."""

    def __init__(self, first: EpochSampler, then: EpochSampler, switch: int) -> None:
        super().__init__(then.images, seed=then.seed)
        self.first, self.then, self.switch = first, then, switch

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.then.set_epoch(epoch)  # its class probabilities may depend on the epoch

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        return (self.first if self.epoch < self.switch else self.then).sequence(generator)
