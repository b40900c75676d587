"""Cutout (DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from finetune.augmentation.catalogue import AugmentationRow
from finetune.augmentation.geometric import Augmentation

#: Side of the square as a share of the image's side.
SIDE = 0.5


def cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Set a square of each image to 0; its centre lies anywhere in the image.

    Images are (B, 3, S, S) float; the generator is a CPU generator.
    """
    n, size = len(images), images.shape[-1]
    side = round(SIDE * size)
    start = torch.randint(size, (n, 2, 1), generator=generator) - side // 2
    at = torch.arange(size)
    rows, columns = ((at >= start) & (at < start + side)).unbind(1)
    return images * (~(rows[:, None, :, None] & columns[:, None, None, :])).to(images)


ADDITION = AugmentationRow(
    "+cutout", "blacks out a square of half the side, after the base augmentation", Augmentation(after=(cutout,))
)
