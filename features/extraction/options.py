"""The options of an extraction; they are read without importing PyTorch."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from features.infrastructure.errors import InputError
from features.infrastructure.options import (
    LARGEST_BATCH,
    LARGEST_SEED,
    LONGEST_SIDE,
    MOST_WORKERS,
    Machine,
    Profiling,
    Range,
    check_ranges,
    default_of,
)
from features.unreadable import MAX_UNREADABLE, OnError

#: The network of an extraction that names none.
DEFAULT_BACKBONE = "resnet50"
#: Options of an extraction that mean something without a network.
_WITHOUT_NETWORK = ("dataset", "out", "keep_images", "shard", "checkpoint_seconds", "overwrite")


@dataclass(frozen=True)
class ExtractConfig(Machine, Profiling):
    """Extract a feature bank from images, or from features: class means, variances and the within-class covariance.

    Attributes:
        dataset: Dataset spec, such as cub:DATA/CUB_200_2011@train, or features:FILE that were computed elsewhere.
        out: File or address of the bank (.h5); an existing bank that agrees with the options is reused.
        backbone: A torchvision or timm name (by default resnet50), efficientnet_lite0 (offline), a run directory, or a
            model elsewhere: hf-hub:OWNER/NAME, transformers:OWNER/NAME, or a folder in one of these formats. No network
            runs for features:FILE, so that no option about networks or images can be given with it.
        weights: default (published), none (random), or a state-dict file.
        seed: Seed of random weights (`weights` none).
        image_size: Side of the network's input in pixels; by default the network's own.
        batch_size: Images per forward pass.
        keep_images: Keep the feature of every image in the bank as well.
        on_error: For an unreadable image, skip lists it in the bank and fail stops.
        max_unreadable: Largest share of the dataset's images, 0 to 1, that may be unreadable.
        shard: Extract one part: 3/8 is the third of eight. Make a bank of all parts with transfer merge.
        engine: local is this process, its workers, and those of torchrun; ray is Ray Data, on this machine or on the
            cluster that RAY_ADDRESS names.
        ray_workers: Number of workers of Ray, or a range in which it may change, such as 2-16; by default one per GPU
            of the cluster, or per core if it has none.
        ray_gpus: GPUs of each worker of Ray: a part of one, or a whole number; by default 1 if the cluster has any.
        ray_cpus: Cores of each worker of Ray; by default an equal part.
        checkpoint_seconds: Seconds between checkpoints, which take at most a twentieth of the time; 0 for every batch.
        overwrite: Replace a bank that does not agree with the options.
    """

    dataset: str
    out: str
    backbone: str | None = None
    weights: str = "default"
    seed: Annotated[int, Range(0, LARGEST_SEED)] = 0
    image_size: Annotated[int, Range(1, LONGEST_SIDE)] | None = None
    batch_size: Annotated[int, Range(1, LARGEST_BATCH)] = 64
    keep_images: bool = False
    on_error: OnError = "skip"
    max_unreadable: Annotated[float, Range(0, 1)] = MAX_UNREADABLE
    shard: str | None = None
    engine: Literal["local", "ray"] = "local"
    ray_workers: str | None = None
    ray_gpus: Annotated[float, Range(0, MOST_WORKERS)] | None = None
    ray_cpus: Annotated[float, Range(0, MOST_WORKERS, above=True)] | None = None
    checkpoint_seconds: Annotated[float, Range(0)] = 60.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.shard is not None:
            parts = re.fullmatch(r"(\d+)/(\d+)", self.shard)
            if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
                raise InputError(
                    f"`shard` {self.shard}: expected a number from 1 to the total, and the total, such as 3/8"
                )
        for name in ("ray_workers", "ray_gpus", "ray_cpus"):
            if self.engine != "ray" and getattr(self, name) is not None:
                raise InputError(f"`{name}` {getattr(self, name)}: is for `engine` ray; give that too, or leave it out")
        if self.engine == "ray" and self.profile:
            raise InputError("`profile`: does not measure the workers of `engine` ray; leave one of them out")
        if self.ray_gpus is not None and self.ray_gpus > 1 and self.ray_gpus != int(self.ray_gpus):
            raise InputError(f"`ray_gpus` {self.ray_gpus:g}: expected a part of one GPU, or a whole number of them")
        self.ray_pool()

    def ray_pool(self) -> tuple[int, int] | None:
        """The least and the largest number of workers of Ray; None if they are not stated."""
        if self.ray_workers is None:
            return None
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", self.ray_workers)
        least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= least <= most <= MOST_WORKERS:
            raise InputError(
                f"`ray_workers` {self.ray_workers}: expected a number from 1 to {MOST_WORKERS}, or a range such as 2-16"
            )
        return least, most


def check_without_network(spec: str, config: ExtractConfig) -> None:
    """Raise `InputError` for an option about a network, or about reading images, that is not at its default."""
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in _WITHOUT_NETWORK and value != default_of(field):
            raise InputError(
                f"`{field.name}` {value}: the features of {spec} are computed already, without a network; leave it out"
            )
