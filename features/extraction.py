"""The extractor: a dataset and a backbone in, a feature bank out, in one pass."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from features.backbones import Backbone, load_backbone
from features.bank import IDENTITY, FeatureBank
from features.dataset import ImageDataset
from features.devices import pick_device, pick_precision
from features.errors import InputError
from features.forward import forward_pass
from features.locking import locked
from features.progress import console
from features.readers import open_dataset
from features.shard import KeptFeatures, Shard
from features.spec import DatasetSpec
from features.statistics import ClassStatistics

#: Largest C × D whose sums are kept on a GPU: half a gigabyte.
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
        workers: Decoding processes; by default one a core.
        precision: auto takes bfloat16 where the hardware has it.
        device: auto, cpu, cuda, cuda:1, mps.
        keep_images: Keep the feature of every image in the bank too.
        on_error: What an unreadable image does: skip lists it in the bank, fail stops at the first.
        max_unreadable: Largest share of unreadable images, 0 to 1.
        shard: Read only a part: 3/8 is the third of eight. Shards become a bank with transfer merge.
        checkpoint_seconds: Work, in seconds, that is lost at most when the process is killed; 0 for none.
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
    checkpoint_seconds: float = 60.0
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
        if self.checkpoint_seconds < 0:
            raise InputError(f"--checkpoint-seconds {self.checkpoint_seconds:g}: expected at least 0")
        if self.shard is not None:
            parts = re.fullmatch(r"(\d+)/(\d+)", self.shard)
            if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
                raise InputError(f"--shard {self.shard}: expected a number and the total, such as 3/8")


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
            "images_per_second": None if self.reused else round(self.read / self.seconds, 2),
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
    _check_out(out)
    with locked(out):
        dataset = open_dataset(config.dataset)
        if len(dataset) == 0:
            raise InputError(f"{dataset.spec}: the dataset has no image")
        precision = pick_precision(config.precision, pick_device(config.device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same in every bank, so that banks can be compared
            backbone = load_backbone(config.backbone, config.weights, config.image_size)
        attrs = _attributes(dataset, backbone, precision, config.shard)
        if out.exists() and not config.overwrite:
            return _reused(config, dataset, attrs)
        shard = _resumed(config, dataset, attrs) or _empty(config, dataset, attrs, backbone.dim)
        started, before = time.perf_counter(), shard.position
        with ExitStack() as stack:
            features = None
            if shard.kept is not None:
                features = KeptFeatures(_beside(out, ".features"), backbone.dim, len(shard.kept))
                stack.callback(features.close)
            read_images(shard, dataset, backbone, config, features)
            images = None
            if shard.kept is not None and features is not None:
                images = features.array(), dataset.labels[shard.kept], [dataset.ids[i] for i in shard.kept]
            if config.shard is None:
                shard.bank().write(out, images)
            else:
                shard.write(out, images)
        for rest in (_beside(out), _beside(out, ".features")):
            rest.unlink(missing_ok=True)
        return _extraction(shard, out, shard.position - before, time.perf_counter() - started)


def read_images(
    shard: Shard, dataset: ImageDataset, backbone: Backbone, config: ExtractConfig, features: KeptFeatures | None
) -> None:
    """Read what a shard has not read yet, with a checkpoint every ``config.checkpoint_seconds``."""
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
            _check_skipped(dataset.spec, shard.skipped, len(shard.positions), config)
            now = time.perf_counter()
            # Where checkpoints are large, they keep a distance of 20 times what one costs.
            if now - saved >= (config.checkpoint_seconds and max(config.checkpoint_seconds, 20 * cost)):
                if features is not None:
                    features.flush()
                shard.write(_beside(Path(config.out)))
                saved = time.perf_counter()
                cost = saved - now


def _sums_device(statistics: ClassStatistics, device: torch.device) -> torch.device:
    """Sums of very many classes would fill a GPU, and accelerators other than CUDA's have no float64."""
    return device if device.type == "cuda" and statistics.sums.numel() <= _SUMS_ON_DEVICE else torch.device("cpu")


def _empty(config: ExtractConfig, dataset: ImageDataset, attrs: Mapping[str, Any], dim: int) -> Shard:
    """A shard of which nothing has been read yet."""
    positions = _positions(config.shard, len(dataset))
    statistics = ClassStatistics(len(dataset.classes), dim)
    return Shard(
        attrs, dataset.classes, positions, positions.start, statistics, kept=[] if config.keep_images else None
    )


def _resumed(config: ExtractConfig, dataset: ImageDataset, attrs: Mapping[str, Any]) -> Shard | None:
    """The unfinished extraction beside ``out``, or None where there is none that still holds.

    Raises:
        InputError: What is there was asked for with other options.
    """
    path = _beside(Path(config.out))
    if not path.exists():
        return None
    shard = Shard.open(path)
    differing = _differing(shard.attrs, attrs)
    if "manifest_sha256" in differing or dataset.source.modified() > _made(shard.attrs):
        console.print(f"{path}: the images have changed since; starting from the first")
        return None
    if differing or (shard.kept is not None) != config.keep_images:
        if config.overwrite:
            return None
        raise InputError(f"--out {config.out}: an unfinished {_other(shard.attrs, attrs)}")
    if shard.kept is not None and not _beside(Path(config.out), ".features").exists():
        return None
    done, whole = shard.position - shard.positions.start, len(shard.positions)
    console.print(f"{path}: going on after {done} of {whole} images")
    return shard


def _extraction(shard: Shard, out: Path, read: int, seconds: float) -> Extraction:
    images = int(shard.statistics.counts.sum())
    return Extraction(out, len(shard.classes), images, len(shard.skipped), read, seconds)


def _beside(out: Path, ending: str = "") -> Path:
    """Where an unfinished extraction lies."""
    return out.with_name(f"{out.name}.resume{ending}")


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


def _check_out(out: Path) -> None:
    """Refuse a place that cannot be written to before the pass, not after it."""
    if out.is_dir():
        raise InputError(f"--out {out}: is a directory; name a file, such as {out / 'bank.h5'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: its directory cannot be made ({error.strerror}); name another file") from error
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"--out {out}: {out.parent} cannot be written to; name another file")


def _reused(config: ExtractConfig, dataset: ImageDataset, attrs: Mapping[str, Any]) -> Extraction:
    """What stands at ``out``, if it is what is asked for.

    Raises:
        InputError: It is something else.
    """
    try:
        found = Shard.open(Path(config.out)) if config.shard else FeatureBank.open(config.out)
    except InputError as error:
        raise InputError(f"--out: something else is there ({error}); name another file or give --overwrite") from error
    if _differing(found.attrs, attrs):
        raise InputError(f"--out {config.out}: holds another {_other(found.attrs, attrs)}")
    if dataset.source.modified() > _made(found.attrs):
        raise InputError(
            f"--out {config.out}: images of {dataset.spec} were changed after it was made; give --overwrite to "
            f"extract them again"
        )
    if config.keep_images and not found.keeps_images:
        raise InputError(f"--out {config.out}: holds this bank without image features; give --overwrite to add them")
    _check_skipped(dataset.spec, found.skipped, len(dataset), config)
    console.print(f"{config.out}: already extracted, reused")
    counts = found.statistics.counts if isinstance(found, Shard) else found.counts
    return Extraction(Path(config.out), len(found.classes), int(counts.sum()), len(found.skipped), 0, 0.0)


def _differing(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The attributes in which something on the disk is not what is asked for."""
    return [name for name in (*IDENTITY, "shard") if found.get(name) != asked.get(name)]


def _other(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The end of a sentence on something on the disk that is not what is asked for."""
    names = _differing(found, asked)
    if not names:
        return "extraction with another --keep-images; name another file or give --overwrite"
    what = f"{names[0]} is {found.get(names[0])!r}, asked for {asked.get(names[0])!r}"
    return f"bank ({what}); name another file or give --overwrite"


def _made(attrs: Mapping[str, Any]) -> float:
    """When the extraction of a bank began, in seconds since the epoch."""
    return datetime.fromisoformat(attrs["created"]).timestamp()


def _check_skipped(spec: str, skipped: Sequence[tuple[str, str]], n_images: int, config: ExtractConfig) -> None:
    """Refuse unreadable images, as soon as they are more than ``config`` allows."""
    if not skipped:
        return
    id_, reason = skipped[0]
    if config.on_error == "fail":
        raise InputError(f"{spec}: cannot read {id_} ({reason})")
    if len(skipped) / n_images > config.max_unreadable:
        raise InputError(
            f"{spec}: at least {len(skipped)} of {n_images} images cannot be read, more than "
            f"--max-unreadable {config.max_unreadable:g}; the first is {id_} ({reason})"
        )
