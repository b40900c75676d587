"""Extraction on Ray Data: workers, on one machine or many, return class sums, and the calling process adds them up.

The images are divided into blocks. A worker opens the dataset and the backbone once; of a block it returns the sums of
the classes that are in it, so that little travels. Ray does the blocks of a lost worker again. They are added in the
order of the dataset: the bank is that of one process, and the same checkpoint resumes it, with or without Ray.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.backbones.loading import load_backbone
from features.class_statistics import ClassStatistics
from features.dataset import ImageDataset
from features.extraction.options import DEFAULT_BACKBONE, ExtractConfig
from features.extraction.origin import Origin, origin_of
from features.infrastructure.console import console, progress
from features.infrastructure.errors import InputError
from features.infrastructure.processes import world_size
from features.readers import open_dataset

#: A dataset has at most this many blocks, if they are not too long, and a block at most this many images.
_BLOCKS, _LONGEST = 256, 2**14
#: Ray's own settings, unless the user has set them: errors alone are printed, and no statistics are sent.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_LOG_LEVEL": "ERROR", "RAY_BACKEND_LOG_LEVEL": "fatal"}


@dataclass
class BlockSums:
    """What a block of images adds to an extraction.

    Attributes:
        classes: (P,) int64, the classes that are in the block.
        statistics: Their statistics.
        indices: (B,) int64, positions of the images that were read.
        unreadable: The others, as (id, reason).
        assumed: Number of images by what was assumed about their intensities.
        values: (B, D) features, if they are kept; else (0, D).
    """

    classes: Tensor
    statistics: ClassStatistics
    indices: Tensor
    unreadable: list[tuple[str, str]]
    assumed: Counter[str]
    values: Tensor

    def add_to(self, statistics: ClassStatistics) -> None:
        """Add the sums to those of the whole dataset."""
        statistics.merge(self.statistics, self.classes)


def blocks_of(positions: range, n_images: int, batch_size: int) -> list[range]:
    """Divide positions of a dataset into blocks.

    They begin at multiples of their length, which is one of ``batch_size`` and depends on nothing else but the size of
    the dataset: batches and sums are the same for any number of workers, and after a resume.
    """
    wanted = min(max(n_images // _BLOCKS, batch_size), _LONGEST)
    length = batch_size * max(1, wanted // batch_size)
    starts = range(positions.start // length * length, positions.stop, length) if positions else ()
    return [range(max(start, positions.start), min(start + length, positions.stop)) for start in starts]


def check_ray() -> None:
    """Raise `InputError` if Ray is missing, or this is one of several processes."""
    if world_size() > 1:
        raise InputError("`engine` ray: Ray starts its own workers; start the command without torchrun")
    if find_spec("ray") is None:
        raise InputError("`engine` ray: Ray is not installed: pip install 'transfer-toolkit[ray]'")


def passes_of_ray(
    config: ExtractConfig, dataset: ImageDataset, origin: Origin, positions: range
) -> Generator[BlockSums, None, None]:
    """Join a cluster, or start one on this machine, and return the sums of the blocks of some positions, in order.

    Raises:
        InputError: There is no cluster at RAY_ADDRESS, or it lacks the resources that the options ask for. The
            generator raises one if a worker cannot open the dataset or the backbone, or finds others than this process.
    """
    started = _join()
    blocks = blocks_of(positions, len(dataset), config.batch_size)
    return _passes(config, dataset, origin, blocks, started)


def _passes(
    config: ExtractConfig, dataset: ImageDataset, origin: Origin, blocks: list[range], started: bool
) -> Generator[BlockSums, None, None]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext, from_items

    context = DataContext.get_current()
    before = context.enable_progress_bars, context.execution_options.preserve_order
    try:
        context.enable_progress_bars, context.execution_options.preserve_order = False, True
        if not blocks:
            return
        least, most, resources = _resources(config, ray.cluster_resources())
        # From memory: tasks that read would wait for the cores that the workers have.
        rows = from_items([{"first": one.start, "last": one.stop} for one in blocks], override_num_blocks=len(blocks))
        results = rows.map_batches(
            _Worker,
            fn_constructor_args=(_settings(config, origin, resources), dataset.manifest_sha256, origin.attributes()),
            batch_size=1,
            compute=ActorPoolStrategy(min_size=min(least, len(blocks)), max_size=min(most, len(blocks))),
            **resources,
        )
        pool = str(least) if least == most else f"{least} to {most}"
        cores, gpus = resources["num_cpus"], resources["num_gpus"]
        console.print(f"Ray: {len(blocks)} blocks; {pool} workers, each with {cores:g} CPU, {gpus:g} GPU")
        with progress(f"extract {dataset.spec}", blocks[-1].stop - blocks[0].start) as advance:
            for row in results.iter_rows():
                found = pickle.loads(row["sums"])  # by a worker of this job
                if isinstance(found, InputError):
                    raise found
                advance(len(found.indices) + len(found.unreadable))
                yield found
    finally:
        context.enable_progress_bars, context.execution_options.preserve_order = before
        if started:
            ray.shutdown()


def _settings(config: ExtractConfig, origin: Origin, resources: dict[str, Any]) -> ExtractConfig:
    """The configuration of a worker: a process of its own for each of its cores, but none for the only one."""
    workers = config.workers
    if workers is None:
        cores = int(resources["num_cpus"])
        workers = cores if cores > 1 or resources["num_gpus"] else 0
    precision = origin.attributes().get("precision", "auto")
    own: dict[str, Any] = {"engine": "local", "ray_workers": None, "ray_gpus": None, "ray_cpus": None}
    return replace(config, workers=workers, precision=precision, **own)


class _Worker:
    """Maps rows with the first and the last position of a block to its sums, in a process of Ray."""

    def __init__(self, config: ExtractConfig, manifest: str, attributes: dict[str, Any]) -> None:
        self._config, self._manifest, self._attributes = config, manifest, attributes
        self._opened: tuple[ImageDataset, Origin] | None = None

    def __call__(self, rows: dict[str, NDArray[np.int64]]) -> dict[str, list[bytes]]:
        found: list[bytes] = []
        for first, last in zip(rows["first"].tolist(), rows["last"].tolist(), strict=True):
            try:
                sums: BlockSums | InputError = self._sums(range(first, last))
            except InputError as error:  # Ray would add its own traceback
                sums = error
            found.append(pickle.dumps(sums))
        return {"sums": found}

    def _sums(self, positions: range) -> BlockSums:
        dataset, origin = self._opened = self._opened or self._open()
        classes, labels = np.unique(dataset.labels[positions.start : positions.stop], return_inverse=True)
        place, statistics = torch.from_numpy(labels), ClassStatistics(len(classes), origin.dim)
        indices, values = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, origin.dim)]
        unreadable: list[tuple[str, str]] = []
        assumed: Counter[str] = Counter()
        with closing(origin.batches(positions)) as batches:
            for batch in batches:
                if len(batch.indices):
                    statistics.add(batch.values, place[batch.indices - positions.start])
                    indices.append(batch.indices)
                    if self._config.keep_images:
                        values.append(batch.values.cpu())
                unreadable += batch.unreadable
                assumed.update(batch.assumed)
        present = torch.from_numpy(classes.astype(np.int64))
        return BlockSums(present, statistics, torch.cat(indices), unreadable, assumed, torch.cat(values))

    def _open(self) -> tuple[ImageDataset, Origin]:
        """Open the dataset and the backbone; raise `InputError` if they are not those of the calling process."""
        config = self._config
        torch.set_num_threads(1)
        console.quiet = True
        dataset = open_dataset(config.dataset, images=False)
        where = f"{dataset.spec}: on {os.uname().nodename}, a machine of Ray,"
        if dataset.manifest_sha256 != self._manifest:
            raise InputError(f"{where} it has other images; every machine needs the same files at the same place")
        name = config.backbone or DEFAULT_BACKBONE
        build = partial(load_backbone, name, config.weights, config.image_size, seed=config.seed)
        origin = origin_of(dataset, config, build)
        for key, value in origin.attributes().items():
            if value != self._attributes.get(key):
                raise InputError(f"{where} {key} is {value!r}; expected {self._attributes.get(key)!r}")
        return dataset, origin


def _join() -> bool:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine; return False if this process is in one."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    started = not ray.is_initialized()
    if started:
        here: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = os.environ.get("RAY_ADDRESS", "this machine")
            raise InputError(f"`engine` ray: no cluster at {where}: {str(error).splitlines()[0]}") from error
        finally:
            if handler is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's own would end the process without its clean-up
    return started


def _resources(config: ExtractConfig, cluster: dict[str, float]) -> tuple[int, int, dict[str, Any]]:
    """The least and the largest number of workers, and what each of them takes; the cluster has to have the least."""
    cores, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    each_gpus = config.ray_gpus
    if each_gpus is None:
        each_gpus = 1.0 if gpus and config.device != "cpu" else 0.0
    fitting = cores / (config.ray_cpus or 1.0)
    if each_gpus:
        fitting = min(fitting, gpus / each_gpus)
    least, most = config.ray_pool() or (max(1, int(fitting)),) * 2
    each_cores = config.ray_cpus if config.ray_cpus is not None else max(1.0, cores // most)
    for what, unit, each, there in (("ray_gpus", "GPU", each_gpus, gpus), ("ray_cpus", "CPU", each_cores, cores)):
        if each > there:
            raise InputError(f"`{what}` {each:g}: Ray has {there:g} here")
        if least * each > there:
            raise InputError(
                f"`ray_workers` {config.ray_workers}: {least} workers take {least * each:g} {unit}, {each:g} each; "
                f"Ray has {there:g} here"
            )
    return least, most, {"num_cpus": each_cores, "num_gpus": each_gpus}
