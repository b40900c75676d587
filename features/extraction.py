"""The extractor: a dataset and a backbone in, a feature bank out, in one pass."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from features.backbones import Backbone, load_backbone
from features.bank import IDENTITY, FeatureBank
from features.dataset import ImageDataset
from features.devices import pick_device, pick_precision
from features.errors import InputError
from features.forward import forward_pass
from features.progress import console
from features.readers import open_dataset
from features.spec import DatasetSpec
from features.statistics import ClassStatistics


@dataclass(frozen=True)
class ExtractConfig:
    """Images in, a feature bank out: class means, variances and the within-class covariance.

    Attributes:
        dataset: Dataset spec, such as cub:DATA/CUB_200_2011@train.
        out: The bank's file (.h5). One that is there and matches is reused.
        backbone: A torchvision or timm name, efficientnet_lite0 (offline), or a run directory.
        weights: default, none, or a state-dict file.
        image_size: Side of the network's input in pixels; by default the network's own.
        batch_size: Images a forward pass.
        workers: Decoding processes; by default one a core.
        precision: auto takes bfloat16 where the hardware has it.
        device: auto, cpu, cuda, cuda:1, mps.
        keep_images: Keep the feature of every image in the bank too.
        on_error: What an unreadable image does: skip lists it in the bank, fail stops at the first.
        max_unreadable: Largest share of unreadable images, 0 to 1.
        overwrite: Replace a bank that does not match instead of refusing.
    """

    dataset: str
    out: str
    backbone: str = "resnet50"
    weights: str = "default"
    image_size: int | None = None
    batch_size: int = 64
    workers: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    keep_images: bool = False
    on_error: Literal["skip", "fail"] = "skip"
    max_unreadable: float = 0.05
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size}: expected at least 1")
        if self.image_size is not None and self.image_size < 1:
            raise InputError(f"--image-size {self.image_size}: expected at least 1")
        if not 0 <= self.max_unreadable <= 1:
            raise InputError(f"--max-unreadable {self.max_unreadable}: expected a share from 0 to 1")


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        bank: The feature bank.
        images: Images that went into it.
        seconds: Time of the pass; 0 if the bank was reused.
        reused: The bank was there already.
    """

    bank: FeatureBank
    images: int
    seconds: float
    reused: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "bank": str(self.bank.path),
            "classes": len(self.bank.classes),
            "images": self.images,
            "skipped": len(self.bank.skipped),
            "images_per_second": round(self.images / self.seconds, 2) if self.seconds else None,
            "reused": self.reused,
        }


def extract(config: ExtractConfig) -> Extraction:
    """Extract a feature bank, or reuse the one at ``config.out`` if it is exactly what is asked for.

    Raises:
        InputError: The dataset or backbone cannot be opened, another bank stands at ``out``, too
            many images are unreadable, or a class has none left.
    """
    dataset = open_dataset(config.dataset)
    precision = pick_precision(config.precision, pick_device(config.device))
    if config.weights == "none":
        torch.manual_seed(0)  # random weights are the same in every bank, so that banks can be compared
    backbone = load_backbone(config.backbone, config.weights, config.image_size)
    attrs = _attributes(dataset, backbone, precision)
    existing = _reusable(config, attrs)
    if existing is not None:
        return Extraction(existing, int(existing.counts.sum()), 0.0, reused=True)
    started = time.perf_counter()
    bank, images = class_statistics(dataset, backbone, attrs, config)
    return Extraction(bank.write(config.out, images), int(bank.counts.sum()), time.perf_counter() - started, reused=False)


def class_statistics(
    dataset: ImageDataset,
    backbone: Backbone,
    attrs: Mapping[str, Any],
    config: ExtractConfig,
) -> tuple[FeatureBank, tuple[NDArray[np.float32], NDArray[np.int64], list[str]] | None]:
    """One pass over the images: the bank in memory, and the features of every image if they are kept."""
    statistics = ClassStatistics(len(dataset.classes), backbone.dim)
    skipped: list[tuple[str, str]] = []
    features_kept, indices_kept = [], []
    outputs = forward_pass(
        backbone,
        dataset,
        backbone.preprocessing,
        batch_size=config.batch_size,
        workers=config.workers,
        device=config.device,
        precision=config.precision,
        description="extract",
    )
    for features, batch in outputs:
        if batch.unreadable and config.on_error == "fail":
            raise InputError(f"{dataset.spec}: cannot read {batch.unreadable[0][0]} ({batch.unreadable[0][1]})")
        skipped += batch.unreadable
        if len(batch.indices):
            statistics.add(features, batch.labels)
            if config.keep_images:
                features_kept.append(features.numpy())
                indices_kept.append(batch.indices.numpy())
    _check_readable(dataset, statistics.counts.numpy(), skipped, config.max_unreadable)
    bank = FeatureBank(
        classes=dataset.classes,
        counts=statistics.counts.numpy(),
        means=statistics.means(),
        variances=statistics.variances(),
        within_covariance=statistics.within_covariance(),
        attrs=attrs,
        skipped=tuple(skipped),
    )
    if not config.keep_images:
        return bank, None
    indices = np.concatenate(indices_kept)
    return bank, (np.concatenate(features_kept), dataset.labels[indices], [dataset.ids[i] for i in indices])


def _attributes(dataset: ImageDataset, backbone: Backbone, precision: str) -> dict[str, Any]:
    return {
        "dataset": dataset.spec,
        "split": DatasetSpec.parse(dataset.spec).split,
        "backbone": backbone.name,
        "weights": backbone.weights,
        "weights_sha256": backbone.weights_sha256(),
        "image_size": backbone.preprocessing.image_size,
        "transform": backbone.preprocessing.describe(),
        "pooling": backbone.pooling,
        "precision": precision,
        "manifest_sha256": dataset.manifest_sha256,
        "torch": str(torch.__version__),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _reusable(config: ExtractConfig, attrs: Mapping[str, Any]) -> FeatureBank | None:
    """The bank at ``out`` if it is what is asked for; None if there is none, or it may be replaced."""
    if not Path(config.out).exists() or config.overwrite:
        return None
    bank = FeatureBank.open(config.out)
    differing = [name for name in IDENTITY if bank.attrs.get(name) != attrs[name]]
    if differing:
        name = differing[0]
        raise InputError(
            f"--out {config.out}: holds another bank ({name} is {bank.attrs.get(name)!r}, asked for {attrs[name]!r}); "
            f"name another file or give --overwrite"
        )
    if config.keep_images and not bank.keeps_images:
        raise InputError(f"--out {config.out}: holds this bank without image features; give --overwrite to add them")
    console.print(f"{config.out}: already extracted, reused")
    return bank


def _check_readable(
    dataset: ImageDataset, counts: NDArray[np.int64], skipped: list[tuple[str, str]], max_unreadable: float
) -> None:
    if len(dataset) == 0:
        raise InputError(f"{dataset.spec}: the dataset has no image")
    if len(skipped) > max_unreadable * len(dataset):
        raise InputError(
            f"{dataset.spec}: {len(skipped)} of {len(dataset)} images cannot be read, more than --max-unreadable "
            f"{max_unreadable:g}; the first is {skipped[0][0]} ({skipped[0][1]})"
        )
    if not counts.all():
        empty = int(np.argmin(counts))
        raise InputError(
            f"{dataset.spec}: class {dataset.classes[empty]!r} has no readable image "
            f"({int((counts == 0).sum())} such classes); mend or remove the class"
        )
