"""Shuffling: every image once an epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finetune.samplers.epoch_sampler import EpochSampler
from finetune.samplers.sampler import SamplerRow


class ShuffleSampler(EpochSampler):
    """Every image once an epoch, in random order: instance sampling without replacement."""

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        return generator.permutation(self.images)


SHUFFLE = SamplerRow(
    "shuffle",
    "every image once an epoch, in random order",
    lambda labels, options: ShuffleSampler(len(labels), seed=options.seed),
)
