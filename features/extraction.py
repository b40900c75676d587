"""The extractor: a dataset and a backbone in, a feature bank out, in one pass."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
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
        if self.workers is not None and self.workers < 0:
            raise InputError(f"--workers {self.workers}: expected at least 0")
        if self.on_error not in ("skip", "fail"):
            raise InputError(f"--on-error {self.on_error}: expected skip or fail")
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
    _check_out(config.out)
    dataset = open_dataset(config.dataset)
    precision = pick_precision(config.precision, pick_device(config.device))
    if config.weights == "none":
        torch.manual_seed(0)  # random weights are the same in every bank, so that banks can be compared
    backbone = load_backbone(config.backbone, config.weights, config.image_size)
    attrs = _attributes(dataset, backbone, precision)
    existing = _reusable(config, dataset, attrs)
    if existing is not None:
        return Extraction(existing, int(existing.counts.sum()), 0.0, reused=True)
    started = time.perf_counter()
    bank, images = class_statistics(dataset, backbone, attrs, config)
    bank = bank.write(config.out, images)
    return Extraction(bank, int(bank.counts.sum()), time.perf_counter() - started, reused=False)


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
    passes = forward_pass(
        backbone,
        dataset,
        backbone.preprocessing,
        batch_size=config.batch_size,
        workers=config.workers,
        device=config.device,
        precision=config.precision,
        description="extract",
    )
    with closing(passes):  # an error ends the workers and the progress bar at once
        for features, batch in passes:
            skipped += batch.unreadable
            _check_skipped(dataset, skipped, config)
            if len(batch.indices):
                statistics.add(features, batch.labels)
                if config.keep_images:
                    features_kept.append(features.numpy())
                    indices_kept.append(batch.indices.numpy())
    _check_counts(dataset, statistics.counts.numpy())
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


def _check_out(out: str) -> None:
    """Refuse a place that cannot be written to before the pass, not after it."""
    path = Path(out)
    if path.is_dir():
        raise InputError(f"--out {out}: is a directory; name a file, such as {path / 'bank.h5'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: its directory cannot be made ({error.strerror}); name another file") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--out {out}: {path.parent} cannot be written to; name another file")


def _reusable(config: ExtractConfig, dataset: ImageDataset, attrs: Mapping[str, Any]) -> FeatureBank | None:
    """The bank at ``out`` if it is what is asked for; None if there is none, or it may be replaced."""
    if not Path(config.out).exists() or config.overwrite:
        return None
    try:
        bank = FeatureBank.open(config.out)
    except InputError as error:
        raise InputError(f"--out: something else is there ({error}); name another file or give --overwrite") from error
    differing = [name for name in IDENTITY if bank.attrs.get(name) != attrs[name]]
    if differing:
        name = differing[0]
        raise InputError(
            f"--out {config.out}: holds another bank ({name} is {bank.attrs.get(name)!r}, asked for {attrs[name]!r}); "
            f"name another file or give --overwrite"
        )
    if config.keep_images and not bank.keeps_images:
        raise InputError(f"--out {config.out}: holds this bank without image features; give --overwrite to add them")
    _check_skipped(dataset, bank.skipped, config)
    console.print(f"{config.out}: already extracted, reused")
    return bank


def _check_skipped(dataset: ImageDataset, skipped: Sequence[tuple[str, str]], config: ExtractConfig) -> None:
    """Refuse unreadable images, as soon as they are more than ``config`` allows."""
    if not skipped:
        return
    id_, reason = skipped[0]
    if config.on_error == "fail":
        raise InputError(f"{dataset.spec}: cannot read {id_} ({reason})")
    if len(skipped) / len(dataset) > config.max_unreadable:
        raise InputError(
            f"{dataset.spec}: at least {len(skipped)} of {len(dataset)} images cannot be read, more than "
            f"--max-unreadable {config.max_unreadable:g}; the first is {id_} ({reason})"
        )


def _check_counts(dataset: ImageDataset, counts: NDArray[np.int64]) -> None:
    if len(dataset) == 0:
        raise InputError(f"{dataset.spec}: the dataset has no image")
    if not counts.all():
        empty = int(np.argmin(counts))
        raise InputError(
            f"{dataset.spec}: class {dataset.classes[empty]!r} has no readable image "
            f"({int((counts == 0).sum())} such classes); mend or remove the class"
        )
