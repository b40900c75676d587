"""One pass of a network over the images of a dataset: the loop of evaluation, of prediction and of frozen features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from features.dataset import ImageDataset
from features.decoding import ImageBatch
from features.forward_pass import forward_pass
from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, own_positions
from features.preprocessing import Preprocessing

Part = TypeVar("Part")
#: Raises if unreadable images, as (id, reason), are too many.
Check = Callable[[Sequence[tuple[str, str]]], None]


class ForwardOptions(Protocol):
    """The options of a forward pass."""

    @property
    def batch_size(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> Literal["auto", "fp32", "bf16"]: ...
    @property
    def workers(self) -> int | None: ...


@dataclass(frozen=True, eq=False)
class ImagePass(Generic[Part]):
    """What a pass has made of the images, in the dataset's order.

    Attributes:
        parts: What was made of each batch with readable images; at least one.
        unreadable: Unreadable images, as (id, reason).
        assumed: Number of images by what was assumed about their intensities: see :mod:`features.intensities`.
    """

    parts: list[Part]
    unreadable: list[tuple[str, str]]
    assumed: Counter[str]


def pass_over(
    dataset: ImageDataset,
    network: nn.Module,
    preprocessing: Preprocessing,
    options: ForwardOptions,
    part_of: Callable[[ImageBatch], Part],
    description: str,
    check: Check | None = None,
) -> ImagePass[Part]:
    """Run a network over a dataset, and keep a part of each batch with readable images.

    Each process takes its share of the images, and all processes return the parts of all. ``description`` is the text
    of the progress bar. ``check`` sees the unreadable images of this process as they are found, and at the end all.

    Raises:
        InputError: No image can be read; or as ``check``.
    """
    parts: list[Part] = []
    unreadable: list[tuple[str, str]] = []
    assumed: Counter[str] = Counter()
    batches = forward_pass(
        network,
        dataset,
        preprocessing,
        positions=own_positions(range(len(dataset))),
        batch_size=options.batch_size,
        workers=options.workers,
        device=options.device,
        precision=options.precision,
        description=description,
    )
    with closing(batches):  # so that an error ends the workers and the progress bar at once
        for batch in batches:
            assumed.update(batch.assumed)
            unreadable += batch.unreadable
            if check is not None and batch.unreadable:
                check(unreadable)
            if len(batch.indices):
                parts.append(part_of(batch))
    every = gather((parts, unreadable, assumed))
    done = ImagePass(
        [part for of_process, _, _ in every for part in of_process],
        [image for _, of_process, _ in every for image in of_process],
        sum((of_process for _, _, of_process in every), Counter()),
    )
    if check is not None:
        check(done.unreadable)
    if not done.parts:
        raise InputError(f"{dataset.spec}: no image can be read")
    return done


def score_images(
    network: nn.Module, dataset: ImageDataset, preprocessing: Preprocessing, options: ForwardOptions
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[tuple[str, str]]]:
    """Outputs (N, K) float32 and labels (N,) of every readable image, in the dataset's order, and the unreadable ones.

    Each process takes its share of the images, and all processes return all outputs. Unreadable images are pairs of id
    and reason. Raises ``InputError`` if no image can be read.
    """

    def outputs_of(batch: ImageBatch) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return batch.values.cpu().numpy(), batch.labels.numpy()

    done = pass_over(dataset, network, preprocessing, options, outputs_of, "evaluate")
    outputs, labels = zip(*done.parts, strict=True)
    return np.concatenate(outputs), np.concatenate(labels), done.unreadable
