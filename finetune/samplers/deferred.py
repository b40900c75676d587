"""Deferred re-sampling (DRS): Cao et al., NeurIPS 2019."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finetune.samplers.base import EpochSampler


class DeferredSampler(EpochSampler):
    """The draws of ``first`` in the epochs below ``switch``, those of ``then`` in the others.

    Both have the same length, seed, rank and number of processes.
    """

    def __init__(self, first: EpochSampler, then: EpochSampler, switch: int) -> None:
        super().__init__(then.length, seed=then.seed, rank=then.rank, world_size=then.world_size)
        self.first, self.then, self.switch = first, then, switch

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        super().set_epoch(epoch, start)
        self.then.set_epoch(epoch, start)  # its class probabilities may depend on the epoch

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        return (self.first if self.epoch < self.switch else self.then).sequence(generator)
