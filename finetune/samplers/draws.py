"""Samplers: an epoch's positions in a dataset, on one of several ranks.

One epoch is one global sequence of ``length`` positions that follows from (seed, epoch) alone. Rank
r of W takes every W-th of them, beginning with the r-th, so the ranks together draw what one process
draws. Where W does not divide ``length``, the sequence is continued from its own beginning: every
rank then has ceil(length / W) positions, and at most W − 1 images are drawn once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

from finetune.samplers.probabilities import class_probabilities


class EpochSampler(Sampler[int]):
    """Positions for one epoch at a time, on one of several ranks.

    Args:
        length: Positions of a global epoch.
        seed: With the epoch, the seed of the draw.
        rank: Which rank this is.
        world_size: How many ranks there are.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(self, length: int, *, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0 … world_size − 1, got rank {rank} of {world_size}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.length = length
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch, and go on after the first ``start`` positions of this rank.

        Raises:
            ValueError: ``epoch`` is negative, or ``start`` is not in 0 … the epoch's length.
        """
        if epoch < 0:
            raise ValueError(f"epoch must not be negative, got {epoch}")
        if not 0 <= start <= self._share():
            raise ValueError(f"start must be in 0 … {self._share()}, this rank's positions an epoch, got {start}")
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Positions that this rank still has in the epoch."""
        return self._share() - self.start

    def __iter__(self) -> Iterator[int]:
        positions = self.positions()
        # in parts: ten million Python integers at once would be a third of a gigabyte
        for begin in range(0, len(positions), 1 << 16):
            yield from positions[begin : begin + (1 << 16)].tolist()

    def positions(self) -> NDArray[np.int64]:
        """What iterating gives, as one array."""
        sequence = self.sequence(np.random.default_rng([self.seed, self.epoch]))
        return np.resize(sequence, self._share() * self.world_size)[self.rank :: self.world_size][self.start :]

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """The (length,) global positions of the epoch."""
        raise NotImplementedError

    def _share(self) -> int:
        return -(-self.length // self.world_size)


class ShuffleSampler(EpochSampler):
    """Every image once an epoch, in random order: instance sampling without replacement.

    Args:
        images: N, the number of images.
        length: Positions of a global epoch, N by default; beyond N another permutation follows.
        seed, rank, world_size: See :class:`EpochSampler`.
    """

    def __init__(
        self, images: int, *, length: int | None = None, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(images if length is None else length, seed=seed, rank=rank, world_size=world_size)
        if images < 1:
            raise ValueError(f"images must be at least 1, got {images}")
        self.images = images

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        passes = -(-self.length // self.images)
        return np.concatenate([generator.permutation(self.images) for _ in range(passes)])[: self.length]


class ClassSampler(EpochSampler):
    """A class with p_j ∝ n_j^q, then one of its images, all alike; with replacement.

    Args:
        labels: (N,) class of each image, integers from 0.
        q: 1 is instance sampling, 0 class-balanced, ½ square-root, and so any finite number; or a
            function from the epoch to the class probabilities (C,).
        length: Positions of a global epoch, N by default.
        seed, rank, world_size: See :class:`EpochSampler`.

    Raises:
        ValueError: ``labels`` is empty or no vector of integers from 0, or a number is out of range.

    >>> sampler = ClassSampler([0, 0, 0, 1], q=0, length=6, seed=1)
    >>> sampler.set_epoch(3)
    >>> len(list(sampler))
    6
    """

    def __init__(
        self,
        labels: ArrayLike,
        *,
        q: float | Callable[[int], NDArray[np.float64]] = 0.0,
        length: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        truth = checked_labels(labels)
        super().__init__(len(truth) if length is None else length, seed=seed, rank=rank, world_size=world_size)
        self.counts = np.bincount(truth)
        self.q = q
        # NumPy sorts integers of up to 16 bits by radix, in linear time
        self._by_class = np.argsort(truth.astype(np.min_scalar_type(len(self.counts))), kind="stable")
        self._first = np.cumsum(self.counts) - self.counts
        self.probabilities()  # a bad q is refused here, not in the middle of a run

    def probabilities(self) -> NDArray[np.float64]:
        """(C,) the class probabilities of the epoch."""
        if not callable(self.q):
            return class_probabilities(self.counts, self.q)
        found = np.asarray(self.q(self.epoch))
        if found.shape != self.counts.shape or not (found >= 0).all() or (found[self.counts == 0] > 0).any():
            raise ValueError(f"q must give a probability for each of {len(self.counts)} classes, 0 for an empty one")
        return found

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        # Cumulative sums in float64: torch.multinomial takes at most 2^24 entries.
        cumulative = np.cumsum(self.probabilities())
        cumulative /= cumulative[-1]
        drawn = np.searchsorted(cumulative, generator.random(self.length), side="right")
        within = generator.integers(0, self.counts[drawn])
        return self._by_class[self._first[drawn] + within]


class DeferredSampler(EpochSampler):
    """Every image once an epoch at first, another sampler from some epoch on (DRS, Cao et al., NeurIPS 2019).

    Args:
        then: What draws later.
        images: N, the number of images.
        switch: The first epoch in which it does.
    """

    def __init__(self, then: EpochSampler, images: int, switch: int) -> None:
        common: dict[str, int] = {"seed": then.seed, "rank": then.rank, "world_size": then.world_size}
        super().__init__(then.length, **common)
        self.first, self.then, self.switch = ShuffleSampler(images, length=then.length, **common), then, switch

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        super().set_epoch(epoch, start)
        self.then.set_epoch(epoch, start)  # its class probabilities may follow the epoch

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        return (self.first if self.epoch < self.switch else self.then).sequence(generator)


def checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    truth = np.asarray(labels)
    if truth.ndim != 1 or not len(truth) or not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0:
        raise ValueError(
            f"labels must be integers from 0, one for each of at least one image, got {truth.dtype} "
            f"of shape {truth.shape}" + (f" from {truth.min()}" if truth.size else "")
        )
    return truth.astype(np.int64, copy=False)
