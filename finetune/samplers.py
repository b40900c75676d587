"""Samplers for class-imbalanced training: first a class is drawn, then one of its images.

Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR
2020, section 3: class j is drawn with probability p_j ∝ n_j^q.

One epoch is one global sequence of ``length`` positions that follows from (seed, epoch) alone. Rank
r of W takes every W-th of them, beginning with the r-th, so the ranks together draw what one process
draws. Where W does not divide ``length``, the sequence is continued from its own beginning: every
rank then has ceil(length / W) positions, and at most W − 1 images are drawn once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

from features.errors import InputError
from finetune.losses.weights import Beta, effective_number


def class_probabilities(counts: ArrayLike, q: float) -> NDArray[np.float64]:
    """Class probabilities p_j ∝ n_j^q (Kang et al., eq. 1); a class with no image has none.

    Args:
        counts: (C,) images of each class.
        q: 1 draws each image alike, 0 each class alike, ½ is square-root sampling; any finite number.

    Returns:
        (C,) float64 with the sum 1.

    Raises:
        ValueError: ``counts`` holds no image, or ``q`` is not finite.

    >>> class_probabilities([90, 10, 0], q=1).round(6).tolist()
    [0.9, 0.1, 0.0]
    >>> class_probabilities([90, 10, 0], q=0).tolist()
    [0.5, 0.5, 0.0]
    """
    if not math.isfinite(q):
        raise ValueError(f"q must be a finite number, got {q}")
    values = np.asarray(counts, dtype=np.float64)
    present = values > 0
    if not present.any():
        raise ValueError("counts must hold at least one image")
    powers = np.zeros_like(values)
    powers[present] = q * np.log(values[present])
    powers[present] = np.exp(powers[present] - powers[present].max())  # the largest is 1: no overflow at any q
    return powers / powers.sum()


def progressive_probabilities(counts: ArrayLike, progress: float) -> NDArray[np.float64]:
    """Progressively balanced: (1 − t/T)·instance + (t/T)·class (Kang et al., eq. 2).

    Args:
        counts: (C,) images of each class.
        progress: t/T in [0, 1].

    Returns:
        (C,) float64 with the sum 1.
    """
    return (1 - progress) * class_probabilities(counts, 1.0) + progress * class_probabilities(counts, 0.0)


def effective_probabilities(counts: ArrayLike, beta: Beta) -> NDArray[np.float64]:
    """Class probabilities p_j ∝ n_j/E_{n_j}: each image as often as the class-balanced loss weighs it.

    β = 0 is instance sampling, β → 1 class-balanced sampling.

    Args:
        counts: (C,) images of each class.
        beta: In [0, 1), or "auto".

    Returns:
        (C,) float64 with the sum 1.

    Raises:
        InputError: ``beta`` is outside [0, 1).
    """
    values = np.asarray(counts, dtype=np.float64)
    numbers = effective_number(values, beta)
    odds = np.divide(values, numbers, out=np.zeros_like(values), where=values > 0)
    return odds / odds.sum()


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
        truth = _checked_labels(labels)
        super().__init__(len(truth) if length is None else length, seed=seed, rank=rank, world_size=world_size)
        self.counts = np.bincount(truth)
        self.q = q
        # NumPy sorts integers of up to 16 bits by radix, in linear time
        self._by_class = np.argsort(truth.astype(np.min_scalar_type(len(self.counts))), kind="stable")
        self._first = np.cumsum(self.counts) - self.counts
        self.probabilities()  # a bad q is refused here, not in the middle of a run

    def probabilities(self) -> NDArray[np.float64]:
        """(C,) the class probabilities of the epoch."""
        return self.q(self.epoch) if callable(self.q) else class_probabilities(self.counts, self.q)

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        # Cumulative sums in float64: torch.multinomial takes at most 2^24 entries.
        cumulative = np.cumsum(self.probabilities())
        cumulative /= cumulative[-1]
        drawn = np.searchsorted(cumulative, generator.random(self.length), side="right")
        within = generator.integers(0, self.counts[drawn])
        return self._by_class[self._first[drawn] + within]


#: The names that :func:`build_sampler` knows, and what they mean.
SAMPLERS = {
    "shuffle": "every image once an epoch",
    "instance": "each image alike, with replacement, as in all that follow (q = 1)",
    "class": "each class alike, then one of its images (q = 0)",
    "sqrt": "classes by the square root of their images (q = 1/2)",
    "progressive": "from instance in the first epoch to class in the last",
    "effective": "each image as often as the class-balanced loss would weigh it (--beta)",
}
#: What any other power is written as.
_POWER = "q="


def power_of(name: str) -> float | None:
    """q of a sampler that is written as its power, such as ``q=0.25``; None for any other name."""
    try:
        q = float(name.removeprefix(_POWER)) if name.startswith(_POWER) else math.nan
    except ValueError:
        return None
    return q if math.isfinite(q) else None


def check_sampler(name: str) -> None:
    """Refuse a name that :func:`build_sampler` does not know.

    Raises:
        InputError: The name is unknown.
    """
    if name not in SAMPLERS and power_of(name) is None:
        raise InputError(f"--sampler {name}: expected one of {', '.join(SAMPLERS)}, or a power such as q=0.25")


def build_sampler(
    name: str,
    labels: ArrayLike,
    *,
    epochs: int = 1,
    beta: Beta = 0.9999,
    length: int | None = None,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> EpochSampler:
    """The sampler called ``name``.

    Args:
        name: ``shuffle`` (every image once an epoch; what training uses unless told otherwise),
            ``instance``, ``class`` or ``sqrt`` (q = 1, 0, ½, with replacement), ``progressive``
            (instance sampling in the first epoch, class-balanced in the last), ``effective``
            (each image as often as the class-balanced loss would weigh it), or any other power, such as ``q=0.25``.
        labels: (N,) class of each image, integers from 0.
        epochs: T, the epochs of the training, for ``progressive``.
        beta: β of ``effective``, in [0, 1), or "auto".
        length: Positions of a global epoch, N by default.
        seed, rank, world_size: See :class:`EpochSampler`.

    Raises:
        InputError: The name is unknown, or ``beta`` is out of range.
        ValueError: Another argument is out of range.
    """
    check_sampler(name)
    truth = _checked_labels(labels)
    if name == "shuffle":
        return ShuffleSampler(len(truth), length=length, seed=seed, rank=rank, world_size=world_size)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    counts = np.bincount(truth)
    schedules: dict[str, float | Callable[[int], NDArray[np.float64]]] = {
        "instance": 1.0,
        "class": 0.0,
        "sqrt": 0.5,
        "progressive": lambda epoch: progressive_probabilities(counts, min(1.0, epoch / max(1, epochs - 1))),
        "effective": lambda _: effective_probabilities(counts, beta),
    }
    q = schedules[name] if name in schedules else power_of(name)
    assert q is not None  # or check_sampler would have refused it
    return ClassSampler(truth, q=q, length=length, seed=seed, rank=rank, world_size=world_size)


def _checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    truth = np.asarray(labels)
    if truth.ndim != 1 or not len(truth) or not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0:
        raise ValueError(
            f"labels must be integers from 0, one for each of at least one image, got {truth.dtype} "
            f"of shape {truth.shape}" + (f" from {truth.min()}" if truth.size else "")
        )
    return truth.astype(np.int64, copy=False)
