"""What all samplers share: the positions of an epoch, samplers that take over later, and the check of the labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """Positions in a dataset of N ``images``, N in an epoch; they follow from (seed, epoch) alone.

    In a ``DataLoader`` of PyTorch every pass takes the next epoch. :meth:`set_epoch` chooses one, which Lightning does
    and a training that resumes has to do. Several processes all draw the same epoch; here they share it out by batches
    (:mod:`finetune.training.batches`). Raises ``ValueError`` if a number is out of range.
    """

    def __init__(self, images: int, *, seed: int = 0) -> None:
        if images < 1:
            raise ValueError(f"`images` must be at least 1, got {images}")
        if seed < 0:
            raise ValueError(f"`seed` must not be negative, got {seed}")
        self.images, self.seed, self.epoch = images, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; raises ``ValueError`` if it is negative."""
        if epoch < 0:
            raise ValueError(f"`epoch` must not be negative, got {epoch}")
        self.epoch = epoch

    def __len__(self) -> int:
        return self.images

    def __iter__(self) -> Iterator[int]:
        positions = self.positions()
        self.set_epoch(self.epoch + 1)
        return iter(positions.tolist())

    def positions(self) -> NDArray[np.int64]:
        """(N,) the positions of the epoch."""
        return self.sequence(np.random.default_rng([self.seed, self.epoch]))

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """(N,) positions drawn from the generator for the epoch."""
        raise NotImplementedError


class DeferredSampler(EpochSampler):
    """The draws of ``first`` in the epochs below ``switch``, then those of ``then`` (DRS: Cao et al., NeurIPS 2019)."""

    def __init__(self, first: EpochSampler, then: EpochSampler, switch: int) -> None:
        super().__init__(then.images, seed=then.seed)
        self.first, self.then, self.switch = first, then, switch

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.then.set_epoch(epoch)  # its class probabilities may depend on the epoch

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        return (self.first if self.epoch < self.switch else self.then).sequence(generator)


def checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels (N,) as int64; raises ``ValueError`` unless they are integers from 0 of at least one image."""
    truth = np.asarray(labels)
    if truth.ndim != 1 or not len(truth) or not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0:
        raise ValueError(
            f"`labels` must be integers from 0, one for each of at least one image, got {truth.dtype} "
            f"of shape {truth.shape}" + (f" from {truth.min()}" if truth.size else "")
        )
    return truth.astype(np.int64, copy=False)
