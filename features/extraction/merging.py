"""Merging: the shards of an extraction become the bank of the whole dataset."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from features.bank import IDENTITY, SUFFIXES, NewImages, read_labels
from features.class_statistics import ClassStatistics
from features.extraction.result import Extraction
from features.extraction.shard import Shard
from features.infrastructure.disk.files import check_ending, check_new
from features.infrastructure.disk.locks import locked
from features.infrastructure.errors import InputError
from features.infrastructure.options import Range, check_ranges
from features.infrastructure.storage.addresses import located, working_file
from features.infrastructure.texts import Texts
from features.kept_features import KeptFeatures
from features.unreadable import MAX_UNREADABLE, check_unreadable


@dataclass(frozen=True)
class MergeConfig:
    """Merge the shards of an extraction into one feature bank.

    Attributes:
        shards: Files or addresses of all shards, in any order.
        out: File or address of the bank (.h5).
        max_unreadable: Largest share of the dataset's images, 0 to 1, that may be unreadable; by default that of the
            extraction.
        overwrite: Replace an existing file.
    """

    shards: list[str]
    out: str
    max_unreadable: Annotated[float, Range(0, 1)] | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        check_ending(self.out, SUFFIXES)


def merge(config: MergeConfig) -> Extraction:
    """Add up shards to the bank that one extraction of the whole dataset would have made.

    The sums are added in float64, so the float32 figures of the bank agree up to the last digit or two. Besides the
    total, the sums of one shard are in memory at a time.

    Raises:
        InputError: A shard is missing, given twice, not complete or of another extraction; ``out`` exists or cannot
            be written; too many images of the dataset are unreadable; a class has no readable image in any shard.
    """
    out, started = located(config.out), time.perf_counter()
    check_new({"`out`": out}, read=config.shards, overwrite=config.overwrite)
    shards = [replace(Shard.open(located(path)), statistics=ClassStatistics(0, 0)) for path in config.shards]
    shards.sort(key=lambda shard: shard.positions.start)
    _check_whole(shards)
    skipped = [image for shard in shards for image in shard.skipped]
    limit = config.max_unreadable
    if limit is None:
        limit = max(float(shard.attrs.get("max_unreadable", MAX_UNREADABLE)) for shard in shards)
    check_unreadable(str(shards[0].attrs["dataset"]), skipped, shards[-1].positions.stop, limit)
    with locked(out), ExitStack() as stack:
        whole = _again(shards[0])
        for shard in shards[1:]:
            whole.statistics.merge(_again(shard).statistics)
        whole.skipped, whole.assumed = skipped, sum((shard.assumed for shard in shards), Counter())
        # The oldest date: the bank is out of date if an image changed after any shard had begun.
        whole.attrs = {**whole.attrs, "created": min(str(shard.attrs["created"]) for shard in shards)}
        images = None
        if whole.keeps_images:
            aside = KeptFeatures(working_file(out, ".merge.features"), whole.statistics.sums.shape[1], scratch=True)
            features = stack.enter_context(closing(aside))
            images = _images(shards, features)
        whole.bank().write(out, images)
    images_in = int(whole.counts.sum())
    return Extraction(out, len(whole.classes), images_in, len(whole.skipped), 0, time.perf_counter() - started)


def _check_whole(shards: Sequence[Shard]) -> None:
    """Raise `InputError` if the shards do not make up one extraction."""
    if not shards:
        raise InputError("`shards`: none is given; make them with: transfer extract DATASET --shard 1/8 --out SHARD.h5")
    first = shards[0]
    for shard in shards:
        for name in IDENTITY:
            if shard.attrs.get(name) != first.attrs.get(name):
                raise InputError(
                    f"{shard.name} and {first.name} are of different extractions: {name} is "
                    f"{shard.attrs.get(name)!r} in one and {first.attrs.get(name)!r} in the other"
                )
        if "shard" not in shard.attrs:
            raise InputError(f"{shard.name}: is an unfinished extraction of the whole dataset; finish it instead")
        if shard.position < shard.positions.stop:
            raise InputError(f"{shard.name}: is not complete; finish its extraction first")
        if shard.keeps_images != first.keeps_images:
            raise InputError(f"{shard.name} and {first.name}: only one of them keeps image features")
    total = int(str(first.attrs["shard"]).partition("/")[2])
    given = [str(shard.attrs["shard"]) for shard in shards]
    for number in range(1, total + 1):
        name = f"{number}/{total}"
        if given.count(name) != 1:
            fault = "is missing" if name not in given else "is given twice"
            raise InputError(f"shard {name} of {first.attrs['dataset']} {fault}; a bank needs each of the {total} once")
    if len(given) > total:
        raise InputError(f"{first.name}: shards of different totals ({', '.join(given)}); give those of one total")


def _again(shard: Shard) -> Shard:
    """Open the file of a shard again, for its sums; raise `InputError` if another shard has taken its place."""
    assert shard.path is not None
    found = Shard.open(shard.path)
    if found.attrs != shard.attrs or found.skipped != shard.skipped:
        raise InputError(f"{shard.name}: was changed while it was in use; give the command again")
    return found


def _images(shards: Sequence[Shard], features: KeptFeatures) -> NewImages:
    """Read the images of all shards; their features go through a file on the disk."""
    labels: list[np.ndarray] = []
    ids: list[Texts] = []
    for shard in shards:
        with shard.stored_images() as content:
            labels.append(read_labels(content, len(shard.classes)))
            ids.append(content.texts("image/id", len(labels[-1])))
        for block in _blocks(shard, len(labels[-1]), features.dim):
            features.append(block)
    return features.array(), np.concatenate(labels), Texts.joined(ids)


def _blocks(shard: Shard, rows: int, width: int) -> Iterator[NDArray[np.floating]]:
    with shard.stored_images() as content:
        yield from content.blocks("image/feature", (rows, width), 4096)
