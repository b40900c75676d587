"""How fast this machine is with a network: a glance before a trial is planned."""

from __future__ import annotations

import time

import numpy as np

from features.backbones.loading import Backbone
from features.dataset import ImageDataset
from features.forward_pass import forward_pass
from features.infrastructure.options import Machine
from finetune.training.speed import training_rate
from transfer.trial.plan import Rates

#: Images that are decoded and seen, and images of a timed training step.
_GLANCE, _STEP = 192, 16


def measure_rates(backbone: Backbone, images: ImageDataset, machine: Machine) -> Rates:
    """Measure how many images a second a network sees with decoding, and how many it trains on.

    The first batch is not timed: processes start in it.
    """
    glance = images.take(np.sort(np.random.default_rng(0).permutation(len(images))[:_GLANCE]))
    times, seen = [], []
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
    training = training_rate(backbone, _STEP, machine.device, machine.precision)
    features = sum(seen[1:]) / (times[-1] - times[0]) if len(seen) > 1 else 2 * training
    return Rates(features, training)
