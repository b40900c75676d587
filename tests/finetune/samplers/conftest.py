"""Images of a long tail with an empty class, and the draws of a sampler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from finetune.samplers import EpochSampler


@pytest.fixture
def counts() -> np.ndarray:
    return np.array([300, 90, 0, 25, 4])


@pytest.fixture
def labels(counts: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(5), counts))


@pytest.fixture
def drawn() -> Callable[..., np.ndarray]:
    def draw(sampler: EpochSampler, epoch: int = 0, start: int = 0) -> np.ndarray:
        sampler.set_epoch(epoch, start)
        return np.array(list(sampler))

    return draw
