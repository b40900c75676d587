"""Batches of decoded pixels from a dataset: the one loop that reads images.

Extraction, training and evaluation all read through here, so an unreadable image is treated in one
way: it leaves the batch, under its own id and with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from features.dataset import ImageDataset
from features.images import ArrayImages, UnreadableImage
from features.preprocessing import Preprocessing


@dataclass(frozen=True)
class PixelBatch:
    """Some decoded images.

    Attributes:
        pixels: (B, 3, S, S) uint8.
        labels: (B,) int64.
        indices: (B,) int64, positions in the dataset.
        unreadable: What could not be read, as (id, reason); not part of the other fields.
    """

    pixels: Tensor
    labels: Tensor
    indices: Tensor
    unreadable: tuple[tuple[str, str], ...]

    def pin_memory(self) -> PixelBatch:
        return PixelBatch(self.pixels.pin_memory(), self.labels.pin_memory(), self.indices, self.unreadable)


class _Decoder(Dataset):
    """Lists of indices to batches. It fetches a whole batch, so that a worker returns one tensor."""

    def __init__(self, dataset: ImageDataset, preprocessing: Preprocessing) -> None:
        self.dataset, self.preprocessing = dataset, preprocessing

    def __getitem__(self, batch: Sequence[int]) -> PixelBatch:
        pixels, kept, unreadable = [], [], []
        for index in batch:
            try:
                # Decoded at full size: a JPEG's reduced scales move and blur the pixels, which shows in the features.
                pixels.append(self.preprocessing.pixels(self.dataset.image(index)))
                kept.append(index)
            except UnreadableImage as error:
                unreadable.append((self.dataset.ids[index], str(error)))
        size = self.preprocessing.image_size
        indices = np.array(kept, dtype=np.int64)
        return PixelBatch(
            torch.stack(pixels) if pixels else torch.empty(0, 3, size, size, dtype=torch.uint8),
            torch.from_numpy(self.dataset.labels[indices]),
            torch.from_numpy(indices),
            tuple(unreadable),
        )


def pixel_batches(
    dataset: ImageDataset,
    preprocessing: Preprocessing,
    batches: Iterable[Sequence[int]],
    workers: int | None = None,
    pin_memory: bool = False,
) -> DataLoader[PixelBatch]:
    """Decode ``batches`` of indices in worker processes, in order.

    Args:
        dataset: What to read.
        preprocessing: Size and interpolation of the pixels; they are not normalised here.
        batches: Lists of positions in the dataset; iterated anew at each pass.
        workers: Worker processes; None takes one a core, and none at all for images in memory.
        pin_memory: Page-lock the batches, for copies to a CUDA device.
    """
    if workers is None:
        workers = 0 if isinstance(dataset.source, ArrayImages) else min(16, _cores())
    return DataLoader(
        _Decoder(dataset, preprocessing),
        sampler=batches,  # each "index" is a batch of them
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
    )


def _cores() -> int:
    """The cores that this process may use, which a container or a scheduler can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(n: int, batch_size: int) -> list[range]:
    """0 … n − 1 in batches."""
    return [range(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
