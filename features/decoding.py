"""Batches of decoded pixels from a dataset: the one loop that reads images.

Extraction, training and evaluation all read through here, so an unreadable image is treated in one
way: it leaves the batch, under its own id and with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from features.dataset import ImageDataset
from features.image_sources import ArrayImages, UnreadableImage
from features.infrastructure.processes import local_world_size
from features.preprocessing import Preprocessing

Batch = TypeVar("Batch")

#: Beyond these, worker processes cost more memory than they gain time.
MAX_WORKERS = 64


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


class Decoder(Dataset):
    """Lists of indices to batches. It fetches a whole batch, so that a worker returns one tensor.

    Args:
        dataset: What to read.
        preprocessing: Size and interpolation of the pixels; they are not normalised here.
    """

    def __init__(self, dataset: ImageDataset, preprocessing: Preprocessing) -> None:
        self.dataset, self.preprocessing = dataset, preprocessing

    def __getitem__(self, batch: Sequence[int]) -> PixelBatch:
        pixels, kept, unreadable = [], [], []
        for index in batch:
            try:
                image = self.dataset.image(index, self.preprocessing.side_needed)
                pixels.append(self.preprocessing.pixels(image))
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
    workers = default_workers(dataset) if workers is None else workers
    return fetched(Decoder(dataset, preprocessing), batches, workers, pin_memory)


def fetched(
    dataset: Dataset[Batch],
    batches: Iterable[Sequence[int]],
    workers: int,
    pin_memory: bool = False,
    ahead: int = 4,
) -> DataLoader[Batch]:
    """What ``dataset`` makes of each of ``batches``, in order, by ``workers`` processes, each ``ahead`` batches."""
    return DataLoader(
        dataset,
        sampler=batches,  # each "index" is a batch of them
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # or making an iterator would draw from the caller's
        prefetch_factor=ahead if workers else None,
    )


def default_workers(dataset: ImageDataset) -> int:
    """A process for each core that this one may use, which a container can make fewer than there are.

    The processes of a job on one machine share its cores.

    None at all for images in memory: there is nothing to decode.
    """
    if isinstance(dataset.source, ArrayImages):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, max(1, cores // local_world_size()))


def in_order(positions: range, batch_size: int) -> list[range]:
    """The positions in batches."""
    return [positions[start : start + batch_size] for start in range(0, len(positions), batch_size)]
