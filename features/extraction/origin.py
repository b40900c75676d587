"""Where the features of a dataset come from: the forward pass of a network, or a file that was computed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cached_property
from typing import Any, Protocol

import torch

from features.backbones.backbone import Backbone
from features.dataset import ImageDataset
from features.decoding import ImageBatch
from features.extraction.options import ExtractConfig, check_without_network
from features.forward_pass import forward_pass
from features.infrastructure.console import progress
from features.infrastructure.devices import job_precision, pick_device
from features.infrastructure.stage_clock import UNPROFILED, Stages
from features.precomputed.provenance import attributes_of
from features.precomputed.rows import FeatureRows


class Origin(Protocol):
    """The features of a dataset."""

    @property
    def dim(self) -> int:
        """Width D of the features."""

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a bank that say how the features are made."""

    def batches(self, positions: range, stages: Stages = UNPROFILED) -> Generator[ImageBatch, None, None]:
        """Yield the features at some positions of the dataset, in order; ``stages`` measure it.

        Raises:
            InputError: The features cannot be computed, or one that is read is NaN or infinite.
        """


def origin_of(dataset: ImageDataset, config: ExtractConfig, build: Callable[[], Backbone]) -> Origin:
    """Return where the features of a dataset come from; ``build`` gives the backbone, if one is needed.

    Raises:
        InputError: The backbone cannot be opened, or an option is about a network and the dataset needs none.
    """
    if isinstance(dataset.source, FeatureRows):
        check_without_network(dataset.spec, config)
        return _File(dataset, dataset.source)
    return _Network(dataset, config, build())


class _Network:
    """The forward pass of a backbone."""

    def __init__(self, dataset: ImageDataset, config: ExtractConfig, backbone: Backbone) -> None:
        self._dataset, self._config, self._backbone = dataset, config, backbone
        self._precision = job_precision(config.precision, pick_device(config.device))
        self.dim = backbone.dim

    def attributes(self) -> dict[str, Any]:
        return {
            "backbone": self._backbone.name,
            "weights": self._backbone.weights,
            "weights_sha256": self._backbone.weights_sha256(),
            "image_size": self._backbone.preprocessing.image_size,
            "transform": self._backbone.preprocessing.describe(),
            "pooling": self._backbone.pooling,
            "precision": self._precision,
        }

    def batches(self, positions: range, stages: Stages = UNPROFILED) -> Generator[ImageBatch, None, None]:
        return forward_pass(
            self._backbone,
            self._dataset,
            self._backbone.preprocessing,
            positions=positions,
            batch_size=self._config.batch_size,
            workers=self._config.workers,
            device=self._config.device,
            precision=self._precision,
            description="extract",
            stages=stages,
        )


class _File:
    """Rows of a file."""

    def __init__(self, dataset: ImageDataset, rows: FeatureRows) -> None:
        self._dataset, self._rows = dataset, rows

    @cached_property
    def dim(self) -> int:
        return self._rows.width

    def attributes(self) -> dict[str, Any]:
        return attributes_of(self._rows.file, self._rows.column, self._rows.model)

    def batches(self, positions: range, stages: Stages = UNPROFILED) -> Generator[ImageBatch, None, None]:
        labels, start = torch.from_numpy(self._dataset.labels), positions.start
        with progress(f"read {self._dataset.spec}", len(positions)) as advance:
            for block in self._rows.blocks(positions):
                indices = torch.arange(start, start + len(block))
                yield ImageBatch(torch.tensor(block), labels[indices], indices)
                advance(len(block))
                start += len(block)
        self._rows.file.check_unchanged()
