"""What all samplers share: the row that describes one, its options, and the positions of one rank in one epoch.

One epoch is one global sequence of ``length`` positions in the dataset, which follows from (seed, epoch) alone. Rank r
of W takes every W-th position, beginning with the r-th, so the ranks together draw what one process draws. If W does
not divide ``length``, the sequence is continued from its own beginning: every rank has ceil(length / W) positions, and
at most W − 1 images are drawn once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

from finetune.losses.options import Beta, LossOptions


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """What a sampler is built from besides the labels.

    Attributes:
        epochs: T, the epochs of the training.
        beta: β of the effective number of images, in [0, 1), or "auto".
        deferred: Share of the epochs, in [0, 1), that are drawn by ``shuffle`` before a sampler that re-balances the
            classes takes over, at the first whole epoch after that share (deferred re-sampling).
        length: Positions of a global epoch; by default N, the number of images.
        seed, rank, world_size: As in :class:`EpochSampler`.
    """

    epochs: int = 2
    beta: Beta = LossOptions.beta
    deferred: float = 0.0
    length: int | None = None
    seed: int = 0
    rank: int = 0
    world_size: int = 1

    def draw(self) -> dict[str, Any]:
        """The options that every sampler takes."""
        return {"length": self.length, "seed": self.seed, "rank": self.rank, "world_size": self.world_size}


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


class EpochSampler(Sampler[int]):
    """Positions of one epoch at a time, on one of several ranks.

    Args:
        length: Positions of a global epoch.
        seed: Seed of the draws, together with the epoch.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(self, length: int, *, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        if length < 1:
            raise ValueError(f"`length` must be at least 1, got {length}")
        if not 0 <= rank < world_size:
            raise ValueError(f"`rank` must be in 0 … world_size − 1, got rank {rank} of {world_size}")
        if seed < 0:
            raise ValueError(f"`seed` must not be negative, got {seed}")
        self.length, self.seed, self.rank, self.world_size = length, seed, rank, world_size
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch, and skip the first ``start`` positions of this rank.

        Raises:
            ValueError: ``epoch`` is negative, or ``start`` is not in 0 … the rank's positions an epoch.
        """
        if epoch < 0:
            raise ValueError(f"`epoch` must not be negative, got {epoch}")
        if not 0 <= start <= self._share():
            raise ValueError(f"`start` must be in 0 … {self._share()}, this rank's positions an epoch, got {start}")
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Positions of this rank that are left in the epoch."""
        return self._share() - self.start

    def __iter__(self) -> Iterator[int]:
        positions = self.positions()
        # In parts: ten million Python integers at once would take a third of a gigabyte.
        for begin in range(0, len(positions), 1 << 16):
            yield from positions[begin : begin + (1 << 16)].tolist()

    def positions(self) -> NDArray[np.int64]:
        """The positions of this rank that are left in the epoch, as one array."""
        sequence = self.sequence(np.random.default_rng([self.seed, self.epoch]))
        return np.resize(sequence, self._share() * self.world_size)[self.rank :: self.world_size][self.start :]

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """The (length,) global positions of the epoch."""
        raise NotImplementedError

    def _share(self) -> int:
        return -(-self.length // self.world_size)


def checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels (N,) as int64; raises ``ValueError`` unless they are integers from 0 of at least one image."""
    truth = np.asarray(labels)
    if truth.ndim != 1 or not len(truth) or not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0:
        raise ValueError(
            f"`labels` must be integers from 0, one for each of at least one image, got {truth.dtype} "
            f"of shape {truth.shape}" + (f" from {truth.min()}" if truth.size else "")
        )
    return truth.astype(np.int64, copy=False)
