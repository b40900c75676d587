"""A forward pass of a network over a dataset: the loop of extraction and of evaluation."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.utils.data import Dataset

from features.dataset import ImageDataset
from features.decoding import Decoder, ImageBatch, default_workers, fetched, in_order
from features.inference_network import InferenceNetwork
from features.infrastructure.console import progress
from features.infrastructure.devices import pick_device, pick_precision
from features.infrastructure.stage_clock import DECODE, FORWARD, TRANSFER, UNPROFILED, Stages
from features.preprocessing import Preprocessing


class _DecodeAndRun(Dataset):
    """Maps lists of positions to outputs, in one worker process.

    On a CPU this keeps every core busy with its own images. Cores that share a batch wait for each other at every
    layer, and for the decoders.
    """

    def __init__(self, decoder: Decoder, network: InferenceNetwork) -> None:
        self.decoder, self.network = decoder, network

    def __getitem__(self, batch: Sequence[int]) -> ImageBatch:
        return _run(self.network, self.decoder[batch])


def _run(network: InferenceNetwork, batch: ImageBatch) -> ImageBatch:
    return replace(batch, values=network(batch.values) if len(batch.indices) else torch.empty(0, 0))


def _send_and_run(network: InferenceNetwork, batch: ImageBatch, stages: Stages) -> ImageBatch:
    with stages.stage(TRANSFER):
        batch = replace(batch, values=batch.values.to(network.device, non_blocking=True))
    with stages.stage(FORWARD):
        return _run(network, batch)


def forward_pass(
    network: nn.Module,
    dataset: ImageDataset,
    preprocessing: Preprocessing,
    *,
    positions: range | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    description: str = "forward",
    stages: Stages = UNPROFILED,
) -> Generator[ImageBatch, None, None]:
    """Run a network over a dataset; yield its outputs (B, K) in the order of the dataset, (0, 0) if B is 0.

    Args:
        network: Maps normalised images (B, 3, S, S) to outputs (B, K); it is not changed.
        dataset: The images.
        preprocessing: The input transform of the network.
        positions: The part of the dataset to read; None for all of it.
        batch_size: Largest number of images per batch.
        workers: Number of processes that decode, and on a CPU also run the network; None for one per core.
        device: See :func:`features.infrastructure.devices.pick_device`.
        precision: ``auto``, ``fp32`` or ``bf16``.
        description: Text of the progress bar.
        stages: What measures the stages of the loop.

    Raises:
        InputError: The device is not available, or the precision is unknown.
    """
    where = pick_device(device)
    ready = InferenceNetwork(network, preprocessing, where, pick_precision(precision, where))
    positions = range(len(dataset)) if positions is None else positions
    batches = in_order(positions, batch_size)
    workers = default_workers(dataset) if workers is None else workers
    decoder = stages.metered(Decoder(dataset, preprocessing), DECODE, workers)
    passes: Iterable[ImageBatch]
    if where.type == "cpu" and workers:
        # Short batches: no core waits long for another at the end, and a killed process loses little.
        batches = in_order(positions, min(batch_size, 32))
        running = _DecodeAndRun(decoder, stages.metered(ready, FORWARD, workers))
        passes = stages.awaited(fetched(running, batches, workers, ahead=2))
    else:
        decoded = fetched(decoder, batches, workers, pin_memory=where.type == "cuda")
        passes = (_send_and_run(ready, batch, stages) for batch in stages.awaited(decoded))
    skipped = 0
    with progress(f"{description} {dataset.spec}", len(positions)) as advance:
        for batch in passes:
            skipped += len(batch.unreadable)
            advance(len(batch.indices) + len(batch.unreadable), f"{skipped} unreadable" if skipped else "")
            yield batch
