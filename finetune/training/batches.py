"""What a training loop reads: batches of pixels in a sampler's order, decoded once if they fit in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from features.dataset import ImageDataset
from features.decoding import ImageBatch, in_order, pixel_batches
from features.infrastructure.console import progress
from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, local_world_size, rank, world_size
from features.infrastructure.stage_clock import DECODE_ALL, UNPROFILED, Stages
from features.preprocessing import Preprocessing
from finetune.samplers import EpochSampler

#: The decoded images of one dataset are kept in memory up to this share of the machine's.
MEMORY_SHARE = 0.25


def fit_in_memory(images: int, side: int) -> bool:
    """Whether every process may keep so many decoded images of ``side`` pixels, for training and for validation.

    Every process must call it, each with the ``images`` that it would keep. Machines may have different memories, and
    images that cannot be read are left out of the order in which all processes train only if they are decoded before.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return all(gather(images * 3 * side**2 <= MEMORY_SHARE * memory / local_world_size()))


def batches_an_epoch(images: int, batch_size: int) -> int:
    """Whole batches in an epoch; at least 1, for an epoch smaller than a batch."""
    return max(1, images // batch_size)


class EpochBatches:
    """Batches of positions, epoch after epoch, from step ``start`` of a training of so many ``steps`` to its last.

    The rest of an epoch that is smaller than a batch is dropped: batch normalisation and the learning rate rely on one
    batch size. What a step reads follows from the sampler's seed and the step alone, so a resumed training reads what
    an uninterrupted one does; ``start`` is all the state that a loader needs. Each of W processes gets every W-th
    position of every batch of ``batch_size``, so that together they take the steps of one process. A step that adds up
    gradients reads its batch in so many ``parts`` of one size. Raises ``InputError`` if a part cannot be shared out
    evenly among the processes, or an epoch is smaller than a batch of several parts; it calls the images ``what``.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        steps: int,
        start: int = 0,
        parts: int = 1,
        what: str = "images",
    ) -> None:
        self.sampler, self.batch_size, self.steps, self.start = sampler, batch_size, steps, start
        self.parts = parts
        if parts > 1 and len(sampler) < batch_size:
            raise InputError(
                f"`accumulate_grad_batches` {parts}: a step takes {parts} batches of {batch_size // parts} images, and "
                f"there are {len(sampler)} {what}; give a smaller `batch_size`, or fewer batches"
            )
        size = min(batch_size, len(sampler))
        if size % (parts * world_size()):
            shape = "one batch" if parts == 1 else f"{parts} batches (`accumulate_grad_batches`)"
            raise InputError(
                f"{size} {what} cannot be shared out evenly among {world_size()} processes as {shape}; "
                f"give another `batch_size`, or start fewer processes"
            )

    def __len__(self) -> int:
        return (self.steps - self.start) * self.parts

    def __iter__(self) -> Iterator[list[int]]:
        an_epoch = batches_an_epoch(len(self.sampler), self.batch_size)
        step = self.start
        while step < self.steps:
            epoch, first = divmod(step, an_epoch)
            self.sampler.set_epoch(epoch)
            positions = self.sampler.positions()
            for batch in range(first, min(an_epoch, self.steps - epoch * an_epoch)):
                whole = positions[batch * self.batch_size : (batch + 1) * self.batch_size]
                own = whole[rank() :: world_size()].tolist()
                size = len(own) // self.parts
                yield from ([own] if self.parts == 1 else [own[i * size : (i + 1) * size] for i in range(self.parts)])
            step = (epoch + 1) * an_epoch


class _Frames(Dataset):
    """Decoded images; its index is a whole batch of positions."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def __getitem__(self, batch: Sequence[int]) -> ImageBatch:
        indices = torch.as_tensor(batch)
        return ImageBatch(self.pixels[indices], self.labels[indices], indices)


class PairedLoader:
    """Pairs of batches of two loaders of one length."""

    def __init__(self, first: DataLoader[ImageBatch], second: DataLoader[ImageBatch]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[tuple[ImageBatch, ImageBatch]]:
        return zip(self.first, self.second, strict=True)


def batches_of(step: ImageBatch | tuple[ImageBatch, ...]) -> tuple[ImageBatch, ...]:
    """The batches of a step: that of the target, and in co-training that of the source."""
    return step if isinstance(step, tuple) else (step,)


class TrainingImages:
    """The images of a training, decoded once if they fit in memory, else batch by batch.

    Frames (R × R pixels) are decoded with the resize of ``preprocessing``, and without its crop. ``stages`` measure the
    decoding.

    Attributes:
        labels, counts: (N,) int64, and the (C,) images of each class in it. If the images are decoded once, those that
            cannot be read are left out.
        unreadable: Images that cannot be read, as (id, reason). If the images are decoded batch by batch, it is empty,
            and such an image is left out of its batch.

    Raises:
        InputError: A class has no readable image.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        preprocessing: Preprocessing,
        workers: int | None = None,
        stages: Stages = UNPROFILED,
    ) -> None:
        self.dataset, self.frames, self.workers, self.stages = dataset, preprocessing.uncropped(), workers, stages
        self.labels: NDArray[np.int64] = dataset.labels
        self.unreadable: Sequence[tuple[str, str]] = []
        self._pixels: Tensor | None = None
        if fit_in_memory(len(dataset), self.frames.image_size):
            with stages.stage(DECODE_ALL):
                self._decode()
        counts = np.bincount(self.labels, minlength=len(dataset.classes))
        if not counts.all():
            empty = int(np.argmin(counts))
            ids = {dataset.ids[i] for i in np.flatnonzero(dataset.labels == empty).tolist()}
            damaged = [f", such as {id_} ({reason})" for id_, reason in self.unreadable if id_ in ids]
            raise InputError(
                f"{dataset.spec}: class {dataset.classes[empty]!r} has no readable image{''.join(damaged[:1])}; mend "
                f"or remove it"
            )
        self.counts = counts

    def _decode(self) -> None:
        size = self.frames.image_size
        pixels = torch.empty(len(self.dataset), 3, size, size, dtype=torch.uint8)
        kept = 0
        labels = np.empty(len(self.dataset), dtype=np.int64)
        unreadable: list[tuple[str, str]] = []
        order = in_order(range(len(self.dataset)), 64)
        batches = pixel_batches(self.dataset, self.frames, order, self.workers, stages=self.stages)
        with progress(f"decode {self.dataset.spec}", len(self.dataset)) as advance:
            for batch in batches:
                n = len(batch.indices)
                pixels[kept : kept + n] = batch.values
                labels[kept : kept + n] = batch.labels
                kept += n
                unreadable += batch.unreadable
                advance(n + len(batch.unreadable))
        self._pixels, self.labels, self.unreadable = pixels[:kept], labels[:kept], unreadable

    def loader(self, batches: EpochBatches, pin_memory: bool = False) -> DataLoader[ImageBatch]:
        """Batches of frames (B, 3, R, R) uint8 and labels (B,) in the order of ``batches``."""
        if self._pixels is None:
            return pixel_batches(self.dataset, self.frames, batches, self.workers, pin_memory, self.stages)
        frames = _Frames(self._pixels, torch.from_numpy(self.labels))
        return DataLoader(frames, sampler=batches, batch_size=None, pin_memory=pin_memory)
