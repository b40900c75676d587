"""Decoding: batches of pixels from a dataset, for extraction, training and evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from features.address_images import fetch
from features.class_statistics import ClassStatistics
from features.dataset import ImageDataset
from features.image_sources import ArrayImages, UnreadableImage
from features.infrastructure.errors import InputError
from features.infrastructure.processes import one_per_core
from features.infrastructure.stage_clock import DECODE, UNPROFILED, Stages
from features.intensities import NOTE
from features.preprocessing import Preprocessing

Batch = TypeVar("Batch")

#: How PyTorch says that a worker process was ended, and by which signal.
_LOST_WORKER = re.compile(r"DataLoader worker \(pid.*?\) (?:exited unexpectedly|is killed by signal: ([^.]*))")


@dataclass(frozen=True)
class ImageBatch:
    """A batch of images: their pixels, or what a network makes of them.

    Attributes:
        values: (B, 3, S, S) uint8 pixels, or what a transform of one's own makes of them; or (B, K) float32 outputs on
            the device of the network.
        labels: (B,) int64.
        indices: (B,) int64, positions in the dataset.
        unreadable: Unreadable images, as (id, reason); they are not among the B.
        assumed: What was assumed about intensities, once for each image of which something was: see
            :mod:`features.intensities`.
    """

    values: Tensor
    labels: Tensor
    indices: Tensor
    unreadable: tuple[tuple[str, str], ...] = ()
    assumed: tuple[str, ...] = ()

    def add_to(self, statistics: ClassStatistics) -> None:
        """Add the outputs of a network to class statistics."""
        statistics.add(self.values, self.labels)

    def pin_memory(self) -> ImageBatch:
        """Return the batch in page-locked memory."""
        return replace(self, values=self.values.pin_memory(), labels=self.labels.pin_memory())

    def to(self, device: torch.device) -> ImageBatch:
        """Return the batch on a device, without waiting for pixels in page-locked memory."""
        pixels, labels = (part.to(device, non_blocking=True) for part in (self.values, self.labels))
        return replace(self, values=pixels, labels=labels)


class Decoder(Dataset):
    """Maps lists of positions to batches. One item is a batch, so that a worker returns one tensor.

    Args:
        dataset: The images.
        preprocessing: Gives size and interpolation; pixels are not normalised here.
    """

    def __init__(self, dataset: ImageDataset, preprocessing: Preprocessing) -> None:
        self.dataset, self.preprocessing = dataset, preprocessing

    def __getitem__(self, batch: Sequence[int]) -> ImageBatch:
        pixels, kept, unreadable, assumed = [], [], [], []
        fetch(self.dataset.source, batch)
        for index in batch:
            try:
                image = self.dataset.image(index, self.preprocessing.side_needed)
                pixels.append(self.preprocessing.pixels(image))
                kept.append(index)
                if note := getattr(image, "info", {}).get(NOTE):  # a tensor has no such entry
                    assumed.append(note)
            except UnreadableImage as error:
                unreadable.append((self.dataset.ids[index], str(error)))
        indices = np.array(kept, dtype=np.int64)
        return ImageBatch(
            torch.stack(pixels) if pixels else torch.empty(0, *self.preprocessing.input_shape, dtype=torch.uint8),
            torch.from_numpy(self.dataset.labels[indices]),
            torch.from_numpy(indices),
            tuple(unreadable),
            tuple(assumed),
        )


def pixel_batches(
    dataset: ImageDataset,
    preprocessing: Preprocessing,
    batches: Iterable[Sequence[int]],
    workers: int | None = None,
    pin_memory: bool = False,
    stages: Stages = UNPROFILED,
) -> DataLoader[ImageBatch]:
    """Decode batches as :class:`Decoder` does, in as many workers as :func:`default_workers` says, or in ``workers``.

    ``stages`` measure the decoding. The other arguments are those of :func:`fetched`.
    """
    workers = default_workers(dataset) if workers is None else workers
    decoder = stages.metered(Decoder(dataset, preprocessing), DECODE, workers)
    return fetched(decoder, batches, workers, pin_memory)


def fetched(
    dataset: Dataset[Batch],
    batches: Iterable[Sequence[int]],
    workers: int,
    pin_memory: bool = False,
    ahead: int = 4,
) -> DataLoader[Batch]:
    """Return a loader of ``dataset[batch]`` for each of ``batches``, lists of positions, in order.

    An `InputError` in a worker process, as of a store that does not answer, is raised as it is.

    Args:
        dataset: Maps a list of positions to a batch.
        batches: Iterated again at each pass.
        workers: Number of worker processes; 0 loads in this process.
        pin_memory: Whether to page-lock the batches, for copies to a CUDA device.
        ahead: Number of batches that each worker prepares in advance.
    """
    return _Loader(
        _Told(dataset),
        sampler=batches,  # each "index" is a batch
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # without it, making an iterator would draw from the global generator
        prefetch_factor=ahead if workers else None,
    )


class _Told(Dataset):
    """Returns an `InputError` instead of raising it: a worker process would add its traceback to the message."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, batch: Sequence[int]) -> Any:
        try:
            return self.dataset[batch]
        except InputError as error:
            return error


class _Loader(DataLoader[Batch]):
    """Raises an `InputError` that takes the place of a batch, and one for a worker process that was ended."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            for batch in super().__iter__():
                if isinstance(batch, InputError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if lost := lost_worker(error):
                raise InputError(lost) from error
            raise


def lost_worker(error: RuntimeError) -> str:
    """Return what to say of an error about a worker process that something else has ended; empty for another error.

    PyTorch raises it where a batch is awaited, or in the handler of a signal, so at any place of the program.
    """
    found = _LOST_WORKER.search(str(error))
    if not found:
        return ""
    how = f" ({found[1]})" if found[1] else ""
    advice = "give fewer `workers` or a smaller `batch_size`"
    return f"a worker process that reads images was ended{how}, mostly for lack of memory: {advice}"


def default_workers(dataset: ImageDataset) -> int:
    """Return the number of worker processes: one per core that this process may use, 0 for images in memory."""
    return 0 if isinstance(dataset.source, ArrayImages) else one_per_core()


def in_order(positions: range, batch_size: int) -> list[range]:
    """Split positions into batches of at most ``batch_size``."""
    return [positions[start : start + batch_size] for start in range(0, len(positions), batch_size)]
