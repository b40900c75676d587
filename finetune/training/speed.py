"""How fast a network trains here: a few steps on random pixels, timed."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F

from features.backbones.loading import Backbone
from features.infrastructure.devices import autocast, pick_device, pick_precision
from finetune.heads import LinearHead
from finetune.training.depthwise import depthwise_in_float32

#: Steps that are timed, after one that is not.
STEPS = 3


def training_rate(backbone: Backbone, batch_size: int, device: str = "auto", precision: str = "auto") -> float:
    """Images per second of training steps of the whole network; its weights and statistics stay as they are.

    Decoding, augmentation and the optimiser are left out: they take a few percent of a step.
    """
    where = pick_device(device)
    network = torch.nn.Sequential(backbone, LinearHead(backbone.dim, 2)).to(where)
    network.to(memory_format=torch.channels_last)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    size = backbone.preprocessing.image_size
    images = torch.rand(batch_size, 3, size, size, device=where).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=where)
    training, began = backbone.training, 0.0
    try:
        with depthwise_in_float32(network.train()):
            for step in range(STEPS + 1):
                if step == 1:
                    began = time.perf_counter()
                with autocast(where, pick_precision(precision, where)):
                    logits = network(images)
                F.cross_entropy(logits.float(), labels).backward()
                network.zero_grad(set_to_none=True)
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        return STEPS * batch_size / (time.perf_counter() - began)
    finally:
        backbone.load_state_dict(state)
        backbone.cpu().train(training)
