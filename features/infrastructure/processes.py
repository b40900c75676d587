"""Several processes of one job, as torchrun or a cluster's launcher starts them.

The launcher sets RANK and WORLD_SIZE in the environment of each process, and LOCAL_RANK and LOCAL_WORLD_SIZE for its
machine. Every process must make the same calls of the collective functions below, in the same order. PyTorch is
imported only if there are several processes, so that the command line starts at once.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import sys
from collections.abc import Iterable
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")

#: More worker processes cost more memory than they save time.
MAX_WORKERS = 64


def rank() -> int:
    """Return the number of this process among all of the job, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes of the job, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Return the number of this process among those on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_world_size() -> int:
    """Return the number of processes of the job on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size())))


def one_per_core() -> int:
    """Return the number of cores that this process may use, at most :data:`MAX_WORKERS`.

    The processes of a job on one machine share its cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, max(1, cores // local_world_size()))


def own_positions(positions: range) -> range:
    """Return the part of ``positions`` that belongs to this process; the parts are disjoint and cover all."""
    n, size, own = len(positions), world_size(), rank()
    return positions[n * own // size : n * (own + 1) // size]


def gather(value: Value) -> list[Value]:
    """Return the values of all processes by rank; a value is anything that can be pickled."""
    if world_size() == 1:
        return [value]
    values: list[Value] = [value] * world_size()
    join_job().all_gather_object(values, value)
    return values


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes, to each of them, without a gradient."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    join_job().all_reduce(total)
    return total / world_size()


def same_for_all(tensors: Iterable[Tensor]) -> None:
    """Copy the values of rank 0 into the tensors of every process, in place; integers too."""
    if world_size() == 1:
        return
    for tensor in tensors:
        join_job().broadcast(tensor.detach(), 0)  # detach() shares the memory


def wait_for_all() -> None:
    """Return when every process has called this."""
    gather(None)


@functools.cache
def join_job() -> ModuleType:
    """Return ``torch.distributed``, with the group of all processes initialised until this process ends."""
    import torch.distributed

    if not torch.distributed.is_initialized():
        backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank())
        # A long timeout: after a resume one process may have much left to do, and another little.
        torch.distributed.init_process_group(backends, timeout=timedelta(days=7))
    atexit.register(_leave_job)
    return torch.distributed


def _leave_job() -> None:
    """Destroy the group, whose threads would abort a process that ends before they do.

    The threads end only with the last reference to the group, and a trainer that refers to it lives on in a cycle.
    """
    gc.collect()
    if join_job().is_initialized():
        join_job().destroy_process_group()


def end_process(status: int) -> NoReturn:
    """End this process with an exit status, as ``sys.exit`` does.

    One of several processes ends after the functions of ``atexit`` without destroying what C++ has left: PyTorch keeps
    a group that was trained in until then, and a thread of it that still runs would abort a process that has done its
    work.
    """
    if world_size() == 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
