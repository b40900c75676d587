"""The extractor: a dataset and a backbone in, a feature bank out, in one pass."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from features.backbones.loading import Backbone, load_backbone
from features.bank import FeatureBank
from features.class_statistics import ClassStatistics
from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.extraction.resume import beside, check_unreadable, discard, finished, unfinished
from features.extraction.shard import KeptFeatures, Shard
from features.forward_pass import forward_pass
from features.infrastructure.console import console
from features.infrastructure.devices import pick_device, pick_precision
from features.infrastructure.errors import InputError
from features.infrastructure.files import check_writable
from features.infrastructure.locks import locked
from features.readers import open_dataset

#: Largest C × D whose sums are kept on a GPU: two arrays of half a gigabyte.
_SUMS_ON_DEVICE = 2**26


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
        workers: Processes that decode, and on a CPU run the network too; by default one a core.
        precision: auto takes bfloat16 where the hardware has it.
        device: auto, cpu, cuda, cuda:1, mps.
        keep_images: Keep the feature of every image in the bank too.
        on_error: What an unreadable image does: skip lists it in the bank, fail stops at the first.
        max_unreadable: Largest share of unreadable images, 0 to 1.
        shard: Read only a part: 3/8 is the third of eight. Shards become a bank with transfer merge.
        seed: Seed of random weights.
        checkpoint_seconds: Time between checkpoints, which take at most a twentieth of it; 0 for one a batch.
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
    shard: str | None = None
    seed: int = 0
    checkpoint_seconds: float = 60.0
    overwrite: bool = False

    @property
    def limits(self) -> dict[str, Any]:
        """What is allowed of unreadable images."""
        return {"on_error": self.on_error, "max_unreadable": self.max_unreadable}

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
        if not self.checkpoint_seconds >= 0:
            raise InputError(f"--checkpoint-seconds {self.checkpoint_seconds:g}: expected at least 0")
        if self.shard is not None:
            parts = re.fullmatch(r"(\d+)/(\d+)", self.shard)
            if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
                raise InputError(
                    f"--shard {self.shard}: expected a number from 1 to the total, and the total, such as 3/8"
                )


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        path: The feature bank, or the shard of one.
        classes: Classes in it.
        images: Images that went into it.
        skipped: Images that could not be read.
        read: Images that were read this time; fewer where an interrupted extraction went on.
        seconds: Time that took; 0 if all was there already.
    """

    path: Path
    classes: int
    images: int
    skipped: int
    read: int
    seconds: float

    @property
    def reused(self) -> bool:
        """The bank was there already."""
        return self.seconds == 0

    @cached_property
    def bank(self) -> FeatureBank:
        """The feature bank.

        Raises:
            InputError: It is a shard, which is no bank by itself.
        """
        return FeatureBank.open(self.path)

    def to_json(self) -> dict[str, Any]:
        return {
            "bank": str(self.path),
            "classes": self.classes,
            "images": self.images,
            "skipped": self.skipped,
            "images_per_second": round(self.read / self.seconds, 2) if self.read else None,
            "reused": self.reused,
        }


def extract(config: ExtractConfig) -> Extraction:
    """Extract a feature bank, or reuse the one at ``config.out`` if it is exactly what is asked for.

    While it runs, what has been read is kept in ``OUT.resume``; the same call goes on from there.

    Raises:
        InputError: The dataset or backbone cannot be opened, another bank stands at ``out`` or another
            process writes it, too many images are unreadable, or a class has none left.
    """
    out = Path(config.out)
    check_writable(out)
    dataset = open_dataset(config.dataset)
    if len(dataset) == 0:
        raise InputError(f"{dataset.spec}: the dataset has no image")
    positions = _positions(config.shard, len(dataset))
    precision = pick_precision(config.precision, pick_device(config.device))
    backbone = load_backbone(config.backbone, config.weights, config.image_size, seed=config.seed)
    attrs = _attributes(dataset, backbone, precision, config.shard)
    found = None if config.overwrite else finished(out, dataset, attrs, keep_images=config.keep_images)
    if found is None:
        with locked(out):
            # Once more: another process may just have finished it.
            found = None if config.overwrite else finished(out, dataset, attrs, keep_images=config.keep_images)
            if found is None:
                return _extract(config, out, dataset, backbone, attrs, positions)
    check_unreadable(dataset.spec, found.skipped, len(positions), **config.limits)
    console.print(f"{out}: already extracted, reused")
    return Extraction(out, len(found.classes), int(found.counts.sum()), len(found.skipped), 0, 0.0)


def _extract(
    config: ExtractConfig,
    out: Path,
    dataset: ImageDataset,
    backbone: Backbone,
    attrs: Mapping[str, Any],
    positions: range,
) -> Extraction:
    """Make what does not stand at ``out`` yet."""
    keep = config.keep_images
    shard = unfinished(out, dataset, attrs, dim=backbone.dim, keep_images=keep, overwrite=config.overwrite)
    if shard is None:
        statistics = ClassStatistics(len(dataset.classes), backbone.dim)
        shard = Shard(attrs, dataset.classes, positions, positions.start, statistics, kept=[] if keep else None)
    started, before = time.perf_counter(), shard.position
    with ExitStack() as stack:
        features = None
        if shard.kept is not None:
            features = KeptFeatures(beside(out, ".features"), backbone.dim, len(shard.kept))
            stack.callback(features.close)
        read_images(shard, dataset, backbone, config, features)
        images = None
        if shard.kept is not None and features is not None:
            images = features.array(), dataset.labels[shard.kept], [dataset.ids[i] for i in shard.kept]
        if config.shard is None:
            shard.bank().write(out, images)
        else:
            shard.write(out, images)
    discard(out)
    seconds = time.perf_counter() - started
    read = shard.position - before
    return Extraction(out, len(shard.classes), int(shard.counts.sum()), len(shard.skipped), read, seconds)


def read_images(
    shard: Shard, dataset: ImageDataset, backbone: Backbone, config: ExtractConfig, features: KeptFeatures | None
) -> None:
    """Read what a shard has not read yet, with a checkpoint every ``config.checkpoint_seconds``.

    Raises:
        InputError: Too many images are unreadable, or a feature is NaN or infinite.
    """
    passes = forward_pass(
        backbone,
        dataset,
        backbone.preprocessing,
        positions=range(shard.position, shard.positions.stop),
        batch_size=config.batch_size,
        workers=config.workers,
        device=config.device,
        precision=config.precision,
        description="extract",
    )
    saved, cost = time.perf_counter(), 0.0
    shard.statistics.to(_sums_device(shard.statistics, pick_device(config.device)))
    with closing(passes):  # an error ends the workers and the progress bar at once
        for batch in passes:
            if len(batch.indices):
                with _one_thread():
                    shard.statistics.add(batch.outputs, batch.labels)
                if features is not None and shard.kept is not None:
                    shard.kept += batch.indices.tolist()
                    features.append(batch.outputs.cpu().numpy())
            shard.skipped += batch.unreadable
            shard.position += len(batch.indices) + len(batch.unreadable)
            check_unreadable(
                dataset.spec,
                shard.skipped,
                len(shard.positions),
                on_error=config.on_error,
                max_unreadable=config.max_unreadable,
            )
            now = time.perf_counter()
            if now - saved >= _distance(config.checkpoint_seconds, cost):
                if features is not None:
                    features.flush()
                shard.statistics.require_finite(dataset.spec)
                shard.write(beside(Path(config.out)))
                saved = time.perf_counter()
                cost = saved - now
    shard.statistics.require_finite(dataset.spec)
    check_unreadable(dataset.spec, shard.skipped, len(shard.positions), **config.limits)


def _distance(seconds: float, cost: float) -> float:
    """Seconds from one checkpoint to the next, of which each takes ``cost``: at most a twentieth of the time."""
    return max(seconds, 20 * cost) if seconds > 0 else 0.0


def _sums_device(statistics: ClassStatistics, device: torch.device) -> torch.device:
    """Sums of very many classes would fill a GPU, and accelerators other than CUDA's have no float64."""
    return device if device.type == "cuda" and statistics.sums.numel() <= _SUMS_ON_DEVICE else torch.device("cpu")


@contextmanager
def _one_thread() -> Iterator[None]:
    """For work beside the worker processes, which keep every core busy: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _positions(shard: str | None, n: int) -> range:
    """The part of ``n`` images that is shard ``i/k``."""
    if shard is None:
        return range(n)
    number, total = (int(part) for part in shard.split("/"))
    if total > n:
        raise InputError(f"--shard {shard}: the dataset has {n} images; take at most {n} shards")
    return range(n * (number - 1) // total, n * number // total)


def _attributes(dataset: ImageDataset, backbone: Backbone, precision: str, shard: str | None) -> dict[str, Any]:
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
        "created": datetime.now(timezone.utc).isoformat(),
    } | ({} if shard is None else {"shard": shard})
