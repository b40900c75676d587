"""A network that PyTorch compiles for the time of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def compiled(network: nn.Module, device: torch.device, say: Callable[[str], None]) -> Iterator[None]:
    """Compile a network in place, its weights and their names as they are; without a compiler ``say`` why it is not.

    The first step takes the time to compile, and so does the first one of another image size.
    """
    reason = _no_compiler(device)
    if reason is not None:
        say(f"`compile`: PyTorch has no working compiler here ({reason}); the network is trained without")
        yield
        return
    network.compile()
    try:
        yield
    finally:
        network._compiled_call_impl = None  # what compile() sets


def _no_compiler(device: torch.device) -> str | None:
    """Why a small function cannot be compiled for a device; None if it can."""
    torch._dynamo.reset()
    try:
        torch.compile(lambda x: 2 * x + 1)(torch.ones(2, device=device))
    except Exception as error:  # a compiler that is missing raises errors of many types
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None
