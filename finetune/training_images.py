"""What a training loop reads: batches of pixels drawn by a sampler, decoded once where they fit in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from features.dataset import ImageDataset
from features.decoding import PixelBatch, in_order, pixel_batches
from features.errors import InputError
from features.preprocessing import Preprocessing
from features.progress import console, progress
from finetune.samplers import EpochSampler

#: Decoded pixels are kept in memory up to this share of the machine's.
MEMORY_SHARE = 0.25


class EpochBatches:
    """A sampler's indices in batches; an epoch that does not divide evenly drops its rest.

    Dropping keeps the batch size of every step the same, which batch normalisation and the learning
    rate rely on. An epoch smaller than one batch is one batch.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    def set_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return max(1, len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        indices = list(self.sampler)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield indices[start : start + self.batch_size]


class _Frames(Dataset):
    """Decoded images; an index is a whole batch of positions."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def __getitem__(self, batch: Sequence[int]) -> PixelBatch:
        indices = torch.as_tensor(batch)
        return PixelBatch(self.pixels[indices], self.labels[indices], indices, ())


class TrainingImages:
    """A dataset ready to be drawn from.

    Args:
        dataset: The images and labels.
        preprocessing: Frames are decoded with its resize, and without its crop.
        workers: Decoding processes; None for one a core.

    Attributes:
        labels: (N,) int64, without the images that cannot be read.

    Raises:
        InputError: A class has no readable image.
    """

    def __init__(self, dataset: ImageDataset, preprocessing: Preprocessing, workers: int | None = None) -> None:
        self.dataset, self.frames, self.workers = dataset, preprocessing.uncropped(), workers
        self.labels: NDArray[np.int64] = dataset.labels
        self._pixels: Tensor | None = None
        if len(dataset) * 3 * self.frames.image_size**2 <= MEMORY_SHARE * _memory_bytes():
            self._decode()
        counts = np.bincount(self.labels, minlength=len(dataset.classes))
        if not counts.all():
            empty = int(np.argmin(counts))
            raise InputError(f"{dataset.spec}: class {dataset.classes[empty]!r} has no readable image")
        self.counts = counts

    def _decode(self) -> None:
        size = self.frames.image_size
        pixels = torch.empty(len(self.dataset), 3, size, size, dtype=torch.uint8)
        kept = 0
        labels = np.empty(len(self.dataset), dtype=np.int64)
        unreadable: list[tuple[str, str]] = []
        batches = pixel_batches(self.dataset, self.frames, in_order(len(self.dataset), 64), self.workers)
        with progress(f"decode {self.dataset.spec}", len(self.dataset)) as advance:
            for batch in batches:
                n = len(batch.indices)
                pixels[kept : kept + n] = batch.pixels
                labels[kept : kept + n] = batch.labels
                kept += n
                unreadable += batch.unreadable
                advance(n + len(batch.unreadable))
        for id_, reason in unreadable:
            console.print(f"left out, unreadable: {id_} ({reason})")
        self._pixels, self.labels = pixels[:kept], labels[:kept]

    def loader(self, batches: EpochBatches, pin_memory: bool = False) -> DataLoader[PixelBatch]:
        """Batches of (pixels (B, 3, R, R) uint8, labels (B,)) in the order of ``batches``."""
        if self._pixels is None:
            return pixel_batches(self.dataset, self.frames, batches, self.workers, pin_memory)
        frames = _Frames(self._pixels, torch.from_numpy(self.labels))
        return DataLoader(frames, sampler=batches, batch_size=None, pin_memory=pin_memory)  # type: ignore[arg-type]


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
