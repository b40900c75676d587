"""Shuffling: every image once an epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finetune.samplers.base import EpochSampler, SamplerRow


class ShuffleSampler(EpochSampler):
    """Every image once an epoch, in random order: instance sampling without replacement.

    Args:
        images: N, the number of images.
        length: Positions of a global epoch, N by default; beyond N another permutation follows.
        **draw: ``seed``, ``rank`` and ``world_size`` of :class:`EpochSampler`.
    """

    def __init__(self, images: int, *, length: int | None = None, **draw: int) -> None:
        super().__init__(images if length is None else length, **draw)
        if images < 1:
            raise ValueError(f"`images` must be at least 1, got {images}")
        self.images = images

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        passes = -(-self.length // self.images)
        return np.concatenate([generator.permutation(self.images) for _ in range(passes)])[: self.length]


SHUFFLE = SamplerRow(
    "shuffle",
    "every image once an epoch, in random order",
    lambda labels, options: ShuffleSampler(len(labels), **options.draw()),
)
