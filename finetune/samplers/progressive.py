"""Progressively balanced sampling (Kang et al., ICLR 2020, section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from finetune.samplers.class_sampler import ClassSampler, class_probabilities
from finetune.samplers.epoch_sampler import EpochSampler
from finetune.samplers.sampler import SamplerOptions, SamplerRow


def progressive_probabilities(counts: ArrayLike, progress: float) -> NDArray[np.float64]:
    """Class probabilities (1 − t/T)·instance + (t/T)·class (Kang et al., eq. 2), (C,) float64.

    Raises ``ValueError`` if ``progress``, t/T, is outside [0, 1].
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"`progress` must be in [0, 1], got {progress}")
    return (1 - progress) * class_probabilities(counts, 1.0) + progress * class_probabilities(counts, 0.0)


def _build(labels: NDArray[np.int64], options: SamplerOptions) -> EpochSampler:
    if options.epochs < 2:
        raise InputError("`sampler` progressive: changes from epoch to epoch, and there is one; give more `epochs`")
    counts, last = np.bincount(labels), options.epochs - 1

    def schedule(epoch: int) -> NDArray[np.float64]:
        return progressive_probabilities(counts, min(1.0, epoch / last))

    return ClassSampler(labels, q=schedule, seed=options.seed)


PROGRESSIVE = SamplerRow(
    "progressive",
    "from instance sampling in the first epoch to class-balanced sampling in the last",
    _build,
    balanced=True,
    options=frozenset({"epochs", "deferred"}),
)
