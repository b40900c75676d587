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
    def draw(sampler: EpochSampler, epoch: int = 0) -> np.ndarray:
        sampler.set_epoch(epoch)
        return sampler.positions()

    return draw


@pytest.fixture
def drawn_often() -> Callable[..., np.ndarray]:
    """A function that draws many positions with the probabilities of one epoch: sampler, number, epoch → positions."""

    def draw(sampler: EpochSampler, number: int, epoch: int = 0) -> np.ndarray:
        sampler.set_epoch(epoch)
        generator = np.random.default_rng([sampler.seed, epoch])
        return np.concatenate([sampler.sequence(generator) for _ in range(number // len(sampler) + 1)])[:number]

    return draw
