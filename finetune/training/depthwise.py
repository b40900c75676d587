"""Depthwise convolutions in float32, in trainings that use bfloat16 on a CPU.

oneDNN has no fast bfloat16 kernels for most gradients of depthwise convolutions: EfficientNet-Lite0 spends two thirds
of a training step in them. With float32, casts included, the whole step takes two thirds of the time
(``benchmarks/train.py --network efficientnet_lite0``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


@contextmanager
def depthwise_in_float32(network: nn.Module) -> Iterator[None]:
    """Let every depthwise convolution compute in float32 under bfloat16 autocast on a CPU.

    Inputs and outputs keep their types. On other devices, and without autocast, nothing changes.
    """
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1]
    for module in found:
        module.forward = partial(_in_float32, module.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in found:
            del module.forward


def _in_float32(convolution: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    if images.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return convolution(images)
    with torch.autocast("cpu", enabled=False):
        return convolution(images.float()).to(images.dtype)
