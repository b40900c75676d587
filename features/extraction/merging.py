"""Shards of an extraction made into the bank of the whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from features.bank import IDENTITY, Images
from features.class_statistics import ClassStatistics
from features.extraction.extractor import Extraction
from features.extraction.shard import KeptFeatures, Shard
from features.infrastructure.errors import InputError
from features.infrastructure.files import check_new
from features.infrastructure.hdf5 import read_text
from features.infrastructure.locks import locked


@dataclass(frozen=True)
class MergeConfig:
    """Shards of an extraction in, the feature bank of the whole out.

    Attributes:
        shards: The shards' files, all of them, in any order.
        out: The bank's file (.h5).
        overwrite: Replace a file that is there instead of refusing.
    """

    shards: list[str]
    out: str
    overwrite: bool = False


def merge(config: MergeConfig) -> Extraction:
    """Add shards up to the bank that one extraction of the whole dataset would have made.

    The sums are added in float64, so the bank's float32 figures agree to their last digit or two. One
    shard's sums are in memory at a time, besides the total.

    Raises:
        InputError: A shard is missing, given twice, not finished or of another extraction; ``out`` cannot be
            written or is there already; a class has no readable image in any shard.
    """
    out, started = Path(config.out), time.perf_counter()
    check_new({"--out": out}, read=config.shards, overwrite=config.overwrite)
    shards = [replace(Shard.open(Path(path)), statistics=ClassStatistics(0, 0)) for path in config.shards]
    shards.sort(key=lambda shard: shard.positions.start)
    _check_whole(shards)
    with locked(out), ExitStack() as stack:
        whole = Shard.open(Path(shards[0].name))
        for shard in shards[1:]:
            whole.statistics.merge(Shard.open(Path(shard.name)).statistics)
            whole.skipped += shard.skipped
        # The oldest: an image that was changed after any shard had begun makes the bank an old one.
        whole.attrs = {**whole.attrs, "created": min(str(shard.attrs["created"]) for shard in shards)}
        images = None
        if whole.keeps_images:
            aside = out.with_name(f"{out.name}.merge.features")
            stack.callback(aside.unlink, missing_ok=True)
            features = stack.enter_context(closing(KeptFeatures(aside, whole.statistics.sums.shape[1], 0)))
            images = _images(shards, features)
        whole.bank().write(out, images)
    images_in = int(whole.counts.sum())
    return Extraction(out, len(whole.classes), images_in, len(whole.skipped), 0, time.perf_counter() - started)


def _check_whole(shards: Sequence[Shard]) -> None:
    """Refuse shards that are not, together, one extraction."""
    if not shards:
        raise InputError("no shard is given; name the files that transfer extract --shard has made")
    first = shards[0]
    for shard in shards:
        for name in IDENTITY:
            if shard.attrs.get(name) != first.attrs.get(name):
                raise InputError(
                    f"{shard.name} and {first.name} are of different extractions: {name} is "
                    f"{shard.attrs.get(name)!r} in one and {first.attrs.get(name)!r} in the other"
                )
        if "shard" not in shard.attrs:
            raise InputError(f"{shard.name}: is an unfinished extraction of the whole; run it to the end instead")
        if not shard.complete:
            raise InputError(f"{shard.name}: is not finished; run its extraction to the end first")
        if shard.keeps_images != first.keeps_images:
            raise InputError(f"{shard.name} and {first.name}: one keeps image features and the other does not")
    total = int(str(first.attrs["shard"]).partition("/")[2])
    given = [str(shard.attrs["shard"]) for shard in shards]
    for number in range(1, total + 1):
        name = f"{number}/{total}"
        if given.count(name) != 1:
            fault = "is missing" if name not in given else "is given twice"
            raise InputError(f"shard {name} of {first.attrs['dataset']} {fault}; a bank needs each of the {total} once")
    if len(given) > total:
        raise InputError(f"{first.name}: shards of different totals ({', '.join(given)}); give those of one")


def _images(shards: Sequence[Shard], features: KeptFeatures) -> Images:
    """The images of all shards, their features by way of the disk."""
    labels: list[np.ndarray] = []
    ids: list[str] = []
    for shard in shards:
        with h5py.File(shard.name, "r") as file:
            for start in range(0, len(file["image/feature"]), 4096):
                features.append(file["image/feature"][start : start + 4096])
            labels.append(file["image/label"][:])
            ids += read_text(file, "image/id")
    return features.array(), np.concatenate(labels), ids
