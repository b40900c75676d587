"""Several processes of one job, as torchrun or a cluster's launcher starts them.

The launcher says who a process is in its environment: RANK and WORLD_SIZE, and of those on its machine LOCAL_RANK
and LOCAL_WORLD_SIZE. What the processes tell each other is waited for by all of them.
PyTorch is imported only where there are several, so that the command line starts at once.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


def rank() -> int:
    """Number of this process among all, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Processes of the job, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Number of this process among those on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_world_size() -> int:
    """Processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size())))


def share(positions: range) -> range:
    """The part of ``positions`` that is this process's: no one is left out or taken twice."""
    n, size, own = len(positions), world_size(), rank()
    return positions[n * own // size : n * (own + 1) // size]


def gather(value: Value) -> list[Value]:
    """What every process gives, by rank; anything that can be pickled."""
    if world_size() == 1:
        return [value]
    import torch.distributed

    _join()
    values: list[Value] = [value] * world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, for each of them; no gradient goes through it."""
    if world_size() == 1:
        return value
    import torch.distributed

    _join()
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    return total / world_size()


def same_for_all(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values, in place; whole numbers too."""
    if world_size() == 1:
        return
    import torch.distributed

    _join()
    with torch.no_grad():
        for tensor in tensors:
            torch.distributed.broadcast(tensor, 0)


def wait_for_all() -> None:
    """Go on when every process has come here."""
    gather(None)


def _join() -> None:
    """Make this process one of the group, once."""
    import torch.distributed

    if not torch.distributed.is_initialized():
        backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank())
        # No limit to speak of: one process may have a long way to go where another had little left.
        torch.distributed.init_process_group(backends, timeout=timedelta(days=7))
        atexit.register(torch.distributed.destroy_process_group)
