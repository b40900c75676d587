"""Cutout: one square, anywhere in the image."""

from __future__ import annotations

import pytest
import torch

from finetune.augmentation import augmentation


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_cutout_blacks_out_one_square_wherever_its_centre_lies():
    white = torch.full((4000, 3, 8, 8), 255, dtype=torch.uint8)
    found = augmentation("none+cutout")(white, 8, draw())
    black = found[:, 0] == 0
    assert torch.equal(black, found[:, 2] == 0)  # all channels alike
    area = black.sum((1, 2))
    assert area.max() == 16 and area.min() == 4  # half of the side; a quarter of it where the centre is a corner
    rows = black.any(2).sum(1)
    assert torch.equal(area, rows * black.any(1).sum(1))  # a rectangle
    share = black.float().mean(0)
    assert share[3:5, 3:5].mean() == pytest.approx(16 / 64, abs=0.03) and share[0, 0] < share[4, 4]
