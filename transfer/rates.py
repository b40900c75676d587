"""How fast this machine is with a network: a glance before work that takes long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.dataset import ImageDataset
from features.infrastructure.options import Machine

if TYPE_CHECKING:
    from features.backbones.backbone import Backbone

#: Images of a batch and of a training step, and batches that are timed at least.
_BATCH, _TIMED = 16, 10


@dataclass(frozen=True)
class Rates:
    """Images per second of a network on this machine: features (with decoding), and training steps."""

    features: float
    training: float


def measure_rates(backbone: Backbone, images: ImageDataset, machine: Machine, *, training: bool = True) -> Rates:
    """Measure how many images a second a network sees with decoding, and how many it trains on.

    The first batch of each worker process is not timed: the processes start in it, and arrive together. Of a dataset
    that is too small for that, the start counts. Without ``training`` no step is timed, and its rate is 0.
    """
    from features.decoding import default_workers  # these import PyTorch
    from features.forward_pass import forward_pass
    from finetune.training.speed import training_rate

    workers = default_workers(images) if machine.workers is None else machine.workers
    untimed = max(1, workers)
    number = _BATCH * (untimed + max(_TIMED, 4 * untimed))
    glance = images.take(np.sort(np.random.default_rng(0).permutation(len(images))[:number]))
    times, seen, began = [], [], time.perf_counter()
    for batch in forward_pass(
        backbone,
        glance,
        backbone.preprocessing,
        batch_size=_BATCH,
        workers=workers,
        device=machine.device,
        precision=machine.precision,
        description="how fast: features",
    ):
        times.append(time.perf_counter())
        seen.append(len(batch.indices) + len(batch.unreadable))
    trained = training_rate(backbone, _BATCH, machine.device, machine.precision) if training else 0.0
    if len(seen) < 2 * untimed:
        return Rates(sum(seen) / (times[-1] - began), trained)
    return Rates(sum(seen[untimed:]) / (times[-1] - times[untimed - 1]), trained)
