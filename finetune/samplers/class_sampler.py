"""Sampling by class: first a class is drawn, with probability p_j ∝ n_j^q, then one of its images.

Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finetune.samplers.epoch_sampler import EpochSampler, checked_labels
from finetune.samplers.sampler import SamplerOptions, SamplerRow


def class_probabilities(counts: ArrayLike, q: float) -> NDArray[np.float64]:
    """Class probabilities p_j ∝ n_j^q of counts (C,) (Kang et al., eq. 1); float64, sum 1, 0 for an empty class.

    q = 1 is instance sampling, 0 class-balanced sampling, ½ square-root sampling. Raises ``ValueError`` if ``counts``
    holds no image, or ``q`` is not finite.

    >>> class_probabilities([90, 10, 0], q=1).round(6).tolist()
    [0.9, 0.1, 0.0]
    """
    if not math.isfinite(q):
        raise ValueError(f"`q` must be a finite number, got {q}")
    values = np.asarray(counts, dtype=np.float64)
    present = values > 0
    if not present.any():
        raise ValueError("`counts` must hold at least one image")
    powers = np.zeros_like(values)
    logs = np.log(values[present])
    with np.errstate(over="ignore"):  # towards −∞: the largest power is 1, whatever q is
        powers[present] = np.exp(q * (logs - (logs.max() if q > 0 else logs.min())))
    return powers / powers.sum()


class ClassSampler(EpochSampler):
    """A class with p_j ∝ n_j^q, then one of its images with equal probability; with replacement.

    ``labels`` (N,) are integers from 0. Instead of a power, q may be a function from the epoch to the class
    probabilities (C,). Raises ``ValueError`` if the labels are others, or a number is out of range.
    """

    def __init__(
        self,
        labels: ArrayLike,
        *,
        q: float | Callable[[int], NDArray[np.float64]] = 0.0,
        seed: int = 0,
    ) -> None:
        truth = checked_labels(labels)
        super().__init__(len(truth), seed=seed)
        self.counts = np.bincount(truth)
        self.q = q
        # NumPy sorts integers of up to 16 bits by radix, in linear time.
        self._by_class = np.argsort(truth.astype(np.min_scalar_type(len(self.counts))), kind="stable")
        self._first = np.cumsum(self.counts) - self.counts
        self.probabilities()  # raises for a bad q before the training starts

    def probabilities(self) -> NDArray[np.float64]:
        """(C,) the class probabilities of the epoch."""
        if not callable(self.q):
            return class_probabilities(self.counts, self.q)
        found = np.asarray(self.q(self.epoch))
        if found.shape != self.counts.shape or not (found >= 0).all() or (found[self.counts == 0] > 0).any():
            raise ValueError(f"`q` must give a probability for each of {len(self.counts)} classes, 0 for an empty one")
        return found

    def sequence(self, generator: np.random.Generator) -> NDArray[np.int64]:
        # Cumulative sums in float64: torch.multinomial takes at most 2^24 entries.
        cumulative = np.cumsum(self.probabilities())
        cumulative /= cumulative[-1]
        drawn = np.searchsorted(cumulative, generator.random(self.images), side="right")
        within = generator.integers(0, self.counts[drawn])
        return self._by_class[self._first[drawn] + within]


def power(name: str, q: float, meaning: str) -> SamplerRow:
    """The row of the sampler by the power q of the class counts; it re-balances the classes if q is below 1."""

    def build(labels: NDArray[np.int64], options: SamplerOptions) -> EpochSampler:
        return ClassSampler(labels, q=q, seed=options.seed)

    return SamplerRow(name, meaning, build, q < 1, frozenset({"deferred"} if q < 1 else ()))


POWERS = (
    power("instance", 1.0, "every image with equal probability, with replacement (q = 1)"),
    power("class", 0.0, "every class with equal probability, then one of its images (q = 0)"),
    power("sqrt", 0.5, "classes in proportion to the square root of their image counts (q = 1/2)"),
)
