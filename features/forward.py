"""A pass of a network over a dataset without training: the loop behind extraction and evaluation."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn

from features.dataset import ImageDataset
from features.decoding import PixelBatch, in_order, pixel_batches
from features.devices import autocast, pick_device, pick_precision
from features.preprocessing import Preprocessing
from features.progress import progress


def forward_pass(
    network: nn.Module,
    dataset: ImageDataset,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    description: str = "forward",
) -> Generator[tuple[Tensor, PixelBatch], None, None]:
    """Every image through the network, in the dataset's order.

    Args:
        network: Normalised images (B, 3, S, S) to outputs (B, K); put into evaluation mode.
        dataset: What to read.
        preprocessing: The network's input transform.
        batch_size: Images a batch.
        workers: Decoding processes; None for one a core.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        description: What the progress bar says.

    Yields:
        Outputs (B, K) float32 on the CPU, and the batch that they belong to. A batch without a
        readable image has outputs of no row.
    """
    where = pick_device(device)
    how = pick_precision(precision, where)
    network = network.eval().to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = pixel_batches(
        dataset, preprocessing, in_order(len(dataset), batch_size), workers, pin_memory=where.type == "cuda"
    )
    skipped = 0
    with progress(f"{description} {dataset.spec}", len(dataset)) as advance:
        for batch in batches:
            outputs = torch.empty(0, 0)
            if len(batch.indices):
                images = preprocessing.normalize(batch.pixels.to(where, non_blocking=True))
                # Only here, not around the yield: the mode would stay on in the caller's code. And no_grad
                # rather than inference_mode, so that the outputs can train a classifier.
                with torch.no_grad(), autocast(where, how):
                    outputs = network(images.to(memory_format=torch.channels_last))
            skipped += len(batch.unreadable)
            advance(len(batch.indices) + len(batch.unreadable), f"{skipped} unreadable" if skipped else "")
            yield outputs.float().cpu(), batch
