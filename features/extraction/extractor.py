"""Extraction: a dataset and a backbone in, a feature bank out, in one pass."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np
import torch

from features.backbones.loading import Backbone, load_backbone
from features.bank import SUFFIXES
from features.class_statistics import ClassStatistics
from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.extraction.class_means import class_means_of, extract_class_means
from features.extraction.merging import MergeConfig, merge
from features.extraction.options import DEFAULT_BACKBONE, ExtractConfig
from features.extraction.origin import Origin, origin_of
from features.extraction.ray_engine import check_ray, passes_of_ray
from features.extraction.result import Extraction
from features.extraction.resume import (
    discard,
    discard_left,
    discard_other_jobs,
    discard_unused,
    find_finished,
    find_unfinished,
    resume_path,
)
from features.extraction.shard import Shard
from features.infrastructure.console import console
from features.infrastructure.devices import pick_device
from features.infrastructure.disk.files import check_ending, check_writable
from features.infrastructure.disk.locks import locked
from features.infrastructure.errors import InputError
from features.infrastructure.interruptions import deferred
from features.infrastructure.processes import from_first, gather, rank, world_size
from features.infrastructure.profiling import check_profile, profiled
from features.infrastructure.stage_clock import KEEP, SAVE, START, SUMS, UNPROFILED, Stages
from features.infrastructure.storage.addresses import Address, located
from features.kept_features import KeptFeatures
from features.readers import open_dataset
from features.unreadable import check_unreadable

#: Largest C × D whose sums are kept on a GPU: two arrays of 512 MiB.
_SUMS_ON_DEVICE = 2**26


def extract(config: ExtractConfig) -> Extraction:
    """Extract the feature bank of a dataset, or reuse the one at ``config.out`` if it agrees with the request.

    A dataset or a network that only Python has goes to :func:`features.extract_features`.

    Progress is kept in ``OUT.resume``; after an interruption the same call resumes from there. Under torchrun every
    process extracts a shard beside ``out``, and the first merges them; the bank agrees with that of one process up to
    the last digit or two of float32.

    Raises:
        InputError: The dataset or the backbone cannot be opened, ``out`` is no name of a bank, holds another bank or is
            being written by another process, too many images are unreadable, or a class has no readable image.
    """
    check_ending(config.out, SUFFIXES)
    if config.engine == "ray":
        check_ray()
    class_means = class_means_of(config.dataset)
    if class_means is not None:
        check_writable(located(config.out))
        return extract_class_means(class_means, config)
    name = DEFAULT_BACKBONE if config.backbone is None else config.backbone
    backbone = partial(load_backbone, name, config.weights, config.image_size, seed=config.seed)
    return extract_parts(config, partial(open_dataset, config.dataset, images=False), backbone)


def extract_parts(
    config: ExtractConfig, dataset: Callable[[], ImageDataset], backbone: Callable[[], Backbone]
) -> Extraction:
    """Do what :func:`extract` does, for a dataset and a backbone that two functions open, the dataset first."""
    check_ending(config.out, SUFFIXES)
    out, table, trace = (located(config.out + ending) for ending in ("", ".profile.csv", ".trace.json"))
    if config.profile:
        check_profile(table, trace, overwrite=config.overwrite)
    with profiled(config.profile, config.device, out, table, trace) as stages:
        return _extract_in_all_processes(config, dataset, backbone, stages)


def _extract_in_all_processes(
    config: ExtractConfig, dataset: Callable[[], ImageDataset], backbone: Callable[[], Backbone], stages: Stages
) -> Extraction:
    if world_size() == 1:
        result = _extract_in_this_process(config, dataset, backbone, stages)
        discard_other_jobs(located(config.out), 1)
        return result
    if config.shard is not None:
        raise InputError(f"`shard` {config.shard}: the processes of one job share the images already; leave it out")
    if from_first(located(config.out).exists) and not config.overwrite:
        # All of them reuse the bank, or raise the same error.
        reused = _extract_in_this_process(config, dataset, backbone, stages)
        if rank() == 0:
            discard_other_jobs(located(config.out), 1)  # this job too, if it was killed after it had merged its shards
        return reused
    names = [f"{number}/{world_size()}" for number in range(1, world_size() + 1)]
    shards = [f"{config.out}.{name.replace('/', '-of-')}" for name in names]
    own = replace(config, shard=names[rank()], out=shards[rank()])
    mine = _extract_in_this_process(own, dataset, backbone, stages)
    reads, seconds = zip(*gather((mine.read, mine.seconds)), strict=True)
    merging = MergeConfig(shards, config.out, max_unreadable=config.max_unreadable, overwrite=True)
    whole = from_first(partial(merge, merging))
    located(shards[rank()]).unlink(missing_ok=True)
    if rank() == 0:
        discard_other_jobs(located(config.out), world_size())
    return replace(whole, read=sum(reads), seconds=max(seconds))


def _extract_in_this_process(
    config: ExtractConfig, open_images: Callable[[], ImageDataset], build: Callable[[], Backbone], stages: Stages
) -> Extraction:
    """Extract a dataset, or the shard of it that ``config.shard`` names, or reuse what is at ``config.out``."""
    out = located(config.out)
    if isinstance(out, Address) or not out.exists() or config.overwrite:  # a bank on a read-only disk is reused
        check_writable(out)
    with stages.stage(START):
        dataset = open_images()
        if len(dataset) == 0:
            raise InputError(f"{dataset.spec}: the dataset has no image")
        positions = _positions(config.shard, len(dataset))
        origin = origin_of(dataset, config, build)
        attrs = _attributes(dataset, origin, config)
    modified, keep = dataset.source.modified(), config.keep_images
    found = None if config.overwrite else find_finished(out, attrs, modified=modified, keep_images=keep)
    if found is None:
        with locked(out):
            # Again: another process may have finished it since.
            found = None if config.overwrite else find_finished(out, attrs, modified=modified, keep_images=keep)
            if found is None:
                return _make(config, dataset, origin, attrs, positions, stages)
    _check_unreadable(config, dataset, found.skipped)
    discard_left(out)
    console.print(f"{out}: already extracted, reused")
    return Extraction(out, len(found.classes), int(found.counts.sum()), len(found.skipped), 0, 0.0)


def _make(
    config: ExtractConfig,
    dataset: ImageDataset,
    origin: Origin,
    attrs: Mapping[str, Any],
    positions: range,
    stages: Stages,
) -> Extraction:
    """Write the bank or the shard ``config.out``, from the last checkpoint on if there is one."""
    out, keep = located(config.out), config.keep_images
    shard = find_unfinished(out, dataset, attrs, dim=origin.dim, keep_images=keep, overwrite=config.overwrite)
    if shard is None:
        statistics = ClassStatistics(len(dataset.classes), origin.dim)
        shard = Shard(attrs, dataset.classes, positions, positions.start, statistics, kept=array("q") if keep else None)
    started, before = time.perf_counter(), shard.position
    with ExitStack() as stack:
        features = None
        if shard.kept is not None:
            stack.callback(discard_unused, out)
            kept = KeptFeatures(resume_path(out, ".features"), origin.dim, len(shard.kept))
            features = stack.enter_context(closing(kept))
        read_images(shard, dataset, origin, config, features, stages)
        images = None
        with stages.stage(SAVE):
            if shard.kept is not None and features is not None:
                places = np.frombuffer(shard.kept, dtype=np.int64)
                images = features.array(), dataset.labels[places], dataset.ids.take(places)
            if config.shard is None:
                shard.bank().write(out, images)
            else:
                shard.write(out, images)
    discard(out)
    shard.say_assumed()
    read, seconds = shard.position - before, time.perf_counter() - started
    return Extraction(out, len(shard.classes), int(shard.counts.sum()), len(shard.skipped), read, seconds)


def read_images(
    shard: Shard,
    dataset: ImageDataset,
    origin: Origin,
    config: ExtractConfig,
    features: KeptFeatures | None,
    stages: Stages = UNPROFILED,
) -> None:
    """Read into ``shard`` the images that it has not read yet; features that are kept go to ``features``.

    A checkpoint is written every ``config.checkpoint_seconds``, and when a signal asks the process to stop.

    Raises:
        Interrupted: A signal asked the process to stop, and the checkpoint is written.
        InputError: Too many images are unreadable, or a feature is NaN or infinite.
    """
    left = range(shard.position, shard.positions.stop)
    passes = passes_of_ray(config, dataset, origin, left) if config.engine == "ray" else origin.batches(left, stages)
    saved, cost = time.perf_counter(), 0.0
    device = pick_device(config.device)
    # Very many classes would fill a GPU, and accelerators other than CUDA lack float64.
    on_device = device.type == "cuda" and shard.statistics.sums.numel() <= _SUMS_ON_DEVICE
    shard.statistics.to(device if on_device else "cpu")
    # An error ends the workers and the progress bar at once.
    with deferred() as request, closing(passes):
        for batch in passes:
            if len(batch.indices):
                with _one_thread(), stages.stage(SUMS):
                    batch.add_to(shard.statistics)
                if features is not None and shard.kept is not None:
                    with stages.stage(KEEP):
                        shard.kept.frombytes(batch.indices.numpy().tobytes())
                        features.append(batch.values.cpu().numpy())
            shard.skipped += batch.unreadable
            shard.assumed.update(batch.assumed)
            shard.position += len(batch.indices) + len(batch.unreadable)
            stages.step(len(batch.indices) + len(batch.unreadable))
            _check_unreadable(config, dataset, shard.skipped)
            now = time.perf_counter()
            wait = config.checkpoint_seconds
            due = now - saved >= (max(wait, 20 * cost) if wait > 0 else 0.0)  # at most a twentieth of the time
            if due or request.name:
                with stages.stage(SAVE):
                    if features is not None:
                        features.flush()
                        shard.features_crc32 = features.crc32
                    shard.statistics.require_finite(dataset.spec)
                    shard.write(resume_path(located(config.out)))
                saved = time.perf_counter()
                cost = saved - now
            request.answer()
    shard.statistics.require_finite(dataset.spec)
    _check_unreadable(config, dataset, shard.skipped)


def _check_unreadable(config: ExtractConfig, dataset: ImageDataset, skipped: Sequence[tuple[str, str]]) -> None:
    """Compare unreadable images with the limit, which is a share of the whole dataset for a shard too."""
    check_unreadable(dataset.spec, skipped, len(dataset), config.max_unreadable, config.on_error)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread beside worker processes that keep every core busy: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _positions(shard: str | None, n: int) -> range:
    """The positions of shard ``i/k`` among ``n`` images; all of them without a shard."""
    if shard is None:
        return range(n)
    number, total = (int(part) for part in shard.split("/"))
    if total > n:
        raise InputError(f"`shard` {shard}: the dataset has {n} images; take at most {n} shards")
    return range(n * (number - 1) // total, n * number // total)


def _attributes(dataset: ImageDataset, origin: Origin, config: ExtractConfig) -> dict[str, Any]:
    """The attributes of the bank or shard that is asked for."""
    return {
        "dataset": dataset.spec,
        "split": DatasetSpec.parse(dataset.spec).split,
        **origin.attributes(),
        "manifest_sha256": dataset.manifest_sha256,
        "torch": str(torch.__version__),
        "created": datetime.now(timezone.utc).isoformat(),
    } | ({} if config.shard is None else {"shard": config.shard, "max_unreadable": config.max_unreadable})
