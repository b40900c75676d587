"""How fast this machine is with a network: a glance before work that takes long."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from features.backbones.loading import Backbone
from features.dataset import ImageDataset
from features.forward_pass import forward_pass
from features.infrastructure.options import Machine
from finetune.training.speed import training_rate

#: Images that are decoded and seen, and images of a timed training step.
_GLANCE, _STEP = 192, 16


@dataclass(frozen=True)
class Rates:
    """Images per second of a network on this machine: features (with decoding), and training steps."""

    features: float
    training: float


def measure_rates(backbone: Backbone, images: ImageDataset, machine: Machine, *, training: bool = True) -> Rates:
    """Measure how many images a second a network sees with decoding, and how many it trains on.

    The first batch is not timed: processes start in it. Without ``training`` no step is timed, and its rate is 0.
    """
    glance = images.take(np.sort(np.random.default_rng(0).permutation(len(images))[:_GLANCE]))
    times, seen, began = [], [], time.perf_counter()
    for batch in forward_pass(
        backbone,
        glance,
        backbone.preprocessing,
        batch_size=16,
        workers=machine.workers,
        device=machine.device,
        precision=machine.precision,
        description="how fast: features",
    ):
        times.append(time.perf_counter())
        seen.append(len(batch.indices) + len(batch.unreadable))
    trained = training_rate(backbone, _STEP, machine.device, machine.precision) if training else 0.0
    # A single batch took as long as its processes took to start.
    spent, timed = (times[-1] - times[0], seen[1:]) if len(seen) > 1 else (times[-1] - began, seen)
    return Rates(sum(timed) / spent, trained)
