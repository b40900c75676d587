"""Extraction by several processes at once: each makes a shard, the first one makes the bank of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from features.extraction import extractor
from features.extraction.extractor import ExtractConfig, Extraction
from features.extraction.merging import MergeConfig, merge
from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, rank, world_size


def extract(config: ExtractConfig) -> Extraction:
    """Make the feature bank of a dataset, or reuse the one that is there.

    Under torchrun every process reads its share of the images, with no image twice, into a file of its own beside
    ``out``, which a killed job goes on from; the bank is that of one process up to the last digit or two of float32.

    Raises:
        InputError: As of :func:`features.extraction.extractor.extract`.
    """
    if world_size() > 1 and config.shard is not None:
        raise InputError(f"--shard {config.shard}: the processes of one job share the images already; leave it out")
    there = gather(Path(config.out).exists())[0] and not config.overwrite
    if world_size() == 1 or there:
        return extractor.extract(config)
    names = [f"{number}/{world_size()}" for number in range(1, world_size() + 1)]
    shards = [f"{config.out}.{name.replace('/', '-of-')}" for name in names]
    mine = extractor.extract(replace(config, shard=names[rank()], out=shards[rank()]))
    reads, seconds = zip(*gather((mine.read, mine.seconds)), strict=True)
    made = gather(merge(MergeConfig(shards, config.out, overwrite=True)) if rank() == 0 else None)[0]
    Path(shards[rank()]).unlink()
    assert made is not None
    return replace(made, read=sum(reads), seconds=max(seconds))
