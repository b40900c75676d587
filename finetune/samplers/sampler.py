"""The row that describes a sampler, and the options of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune.losses.loss import Beta, LossOptions

if TYPE_CHECKING:
    from finetune.samplers.epoch_sampler import EpochSampler


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """What a sampler is built from besides the labels.

    Attributes:
        epochs: T, the epochs of the training.
        beta: β of the effective number of images, in [0, 1), or "auto".
        deferred: Share of the epochs, in [0, 1), that are drawn by ``shuffle`` before a sampler that re-balances the
            classes takes over, at the first whole epoch after that share (deferred re-sampling).
        seed: Seed of the draws, together with the epoch.
    """

    epochs: int = 2
    beta: Beta = LossOptions.beta
    deferred: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class SamplerRow:
    """One row of :data:`finetune.samplers.SAMPLERS`.

    Attributes:
        name, meaning: Name on the command line and in recipes, and one line that says what it is.
        build: The sampler from the labels (N,) and the options.
        balanced: Whether it re-balances the classes.
        options: The options that it reads, of epochs, beta and deferred.
    """

    name: str
    meaning: str
    build: Callable[[NDArray[np.int64], SamplerOptions], EpochSampler]
    balanced: bool = False
    options: frozenset[str] = frozenset()
