"""The rate of a machine that is known: images that take a stated time to read."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from features.backbones.loading import load_backbone
from features.dataset import ImageDataset
from features.infrastructure.options import Machine
from finetune.training.speed import training_rate
from transfer.rates import measure_rates

SECONDS = 0.01


class Slow:
    """Images that take so many seconds each."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        time.sleep(SECONDS)
        return Image.new("RGB", (32, 32), (index % 255, 0, 0))

    def take(self, indices: np.ndarray) -> Slow:
        return Slow(len(indices))


def slow(number: int) -> ImageDataset:
    return ImageDataset(
        "slow:", ("a",), np.zeros(number, dtype=np.int64), [str(i) for i in range(number)], Slow(number)
    )


@pytest.mark.parametrize(("workers", "images"), [(0, 400), (2, 1000), (6, 1000), (2, 20)])
def test_no_machine_reads_faster_than_its_workers_can(workers, images):
    backbone = load_backbone("resnet8", "none", seed=0)
    machine = Machine(device="cpu", precision="fp32", workers=workers)
    rate = measure_rates(backbone, slow(images), machine, training=False).features
    assert 0 < rate <= 1.2 * max(1, workers) / SECONDS


def test_timing_leaves_the_network_as_it_is():
    backbone = load_backbone("resnet8", "none", seed=0).eval()
    before = backbone.weights_sha256()
    assert training_rate(backbone, 8, "cpu", "fp32") > 0
    assert backbone.weights_sha256() == before and not backbone.training
