"""Sampling by the effective number of images: the counterpart of the class-balanced loss (Cui et al., CVPR 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finetune.losses.class_weights import effective_number
from finetune.losses.loss import Beta
from finetune.samplers.class_sampler import ClassSampler
from finetune.samplers.epoch_sampler import EpochSampler
from finetune.samplers.sampler import SamplerOptions, SamplerRow


def effective_probabilities(counts: ArrayLike, beta: Beta) -> NDArray[np.float64]:
    """Class probabilities p_j ∝ n_j/E_{n_j}, (C,) float64: each image as often as the class-balanced loss weights it.

    β = 0 is instance sampling, β → 1 class-balanced sampling. Raises ``InputError`` if ``beta`` is outside [0, 1).
    """
    values = np.asarray(counts, dtype=np.float64)
    numbers = effective_number(values, beta)
    odds = np.divide(values, numbers, out=np.zeros_like(values), where=values > 0)
    return odds / odds.sum()


def _build(labels: NDArray[np.int64], options: SamplerOptions) -> EpochSampler:
    probabilities = effective_probabilities(np.bincount(labels), options.beta)
    return ClassSampler(labels, q=lambda _: probabilities, seed=options.seed)


EFFECTIVE = SamplerRow(
    "effective",
    "every image as often as the class-balanced loss would weight it (`beta`)",
    _build,
    balanced=True,
    options=frozenset({"beta", "deferred"}),
)
