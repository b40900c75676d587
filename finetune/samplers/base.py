"""What all samplers share: the row that describes one, its options, and the positions of one epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finetune.losses import LossOptions
from finetune.losses.base import Beta


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """What a sampler is built from besides the labels.

    Attributes:
        epochs: T, the epochs of the training.
        beta: β of the effective number of images, in [0, 1), or "auto".
        deferred: Share of the epochs, in [0, 1), that are drawn by ``shuffle`` before a sampler that re-balances the
            classes takes over, at the first whole epoch after that share (deferred re-sampling).
        seed: As in :class:`EpochSampler`.
    """

    epochs: int = 2
    beta: Beta = LossOptions.beta
    deferred: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class SamplerRow:
    """One row of :data:`finetune.samplers.SAMPLERS`.

    Attributes:
        name: Name on the command line and in recipes.
        meaning: One line that says what it is.
        build: The sampler from the labels (N,) and the options.
        balanced: Whether it re-balances the classes.
        options: Names of the fields of :class:`SamplerOptions` that it reads, of epochs, beta and deferred.
    """

    name: str
    meaning: str
    build: Callable[[NDArray[np.int64], SamplerOptions], EpochSampler]
    balanced: bool = False
    options: frozenset[str] = frozenset()


class EpochSampler:
    """Positions in a dataset, one epoch at a time; they follow from (seed, epoch) alone.

    Several processes all draw the same epoch and share it out by batches (:mod:`finetune.training.batches`).

    Args:
        images: N, the images of the dataset, and the positions of an epoch.
        seed: Seed of the draws, together with the epoch.

    Raises:
        ValueError: A number is out of range.
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
        return iter(self.positions().tolist())

    def positions(self) -> NDArray[np.int64]:
        """(N,) the positions of the epoch."""
        return self.sequence(np.random.default_rng([self.seed, self.epoch]))

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """(N,) positions drawn from the generator for the epoch."""
        raise NotImplementedError


def checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels (N,) as int64; raises ``ValueError`` unless they are integers from 0 of at least one image."""
    truth = np.asarray(labels)
    if truth.ndim != 1 or not len(truth) or not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0:
        raise ValueError(
            f"`labels` must be integers from 0, one for each of at least one image, got {truth.dtype} "
            f"of shape {truth.shape}" + (f" from {truth.min()}" if truth.size else "")
        )
    return truth.astype(np.int64, copy=False)
