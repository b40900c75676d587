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
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from features.infrastructure.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import Store

Value = TypeVar("Value")

#: More worker processes cost more memory than they save time.
MAX_WORKERS = 64
#: Seconds between two looks at the launcher's store.
_ASK_AGAIN = 0.02
#: What the messages of gloo and NCCL have in them if the connection to a process has ended.
_SIGNS_OF_AN_END = ("gloo/transport", "Connection closed by peer", "Connection reset by peer", "ncclRemoteError")


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


def from_first(make: Callable[[], Value]) -> Value:
    """Return, in every process, what ``make`` returns in the first one; it can be pickled.

    The others do not look for themselves: another machine may see a file of a shared disk as it was a minute ago.

    Raises:
        InputError, OSError: In every process, if ``make`` raises it.
    """
    if world_size() == 1:
        return make()
    found: list[Any] = [None, None]
    if rank() == 0:
        try:
            found[0] = make()
        except (InputError, OSError) as error:
            found[1] = error
    join_job().broadcast_object_list(found, 0)
    if found[1] is not None:
        raise found[1]
    value: Value = found[0]
    return value


def require_same(where: str, values: Mapping[str, object], advice: str) -> None:
    """Raise `InputError` in every process unless all of them have the same values by name.

    The message begins with ``where``, gives the first value that differs, and ends with ``advice``.
    """
    first, *others = gather(dict(values))
    for process, other in enumerate(others, 1):
        if unlike := [name for name in (*first, *other) if first.get(name) != other.get(name)]:
            one, two = first.get(unlike[0]), other.get(unlike[0])
            raise InputError(f"{where}: {unlike[0]} is {one!r} in process 0 and {two!r} in process {process}; {advice}")


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
        place: dict[str, Any] = {"rank": rank(), "world_size": world_size(), "timeout": timedelta(days=7)}
        store = of_this_start(next(torch.distributed.rendezvous("env://", **place))[0], rank(), world_size())
        torch.distributed.init_process_group(backends, store=store, **place)
    atexit.register(_leave_job)
    return torch.distributed


def of_this_start(store: Store, own: int, size: int) -> Store:
    """Return a part of the launcher's store that nothing has been written to before this start of the job.

    Each of the ``size`` processes must call it, with ``own`` as its number.

    torchrun keeps its store when it starts the processes of a job again, with the addresses of those that have ended.
    Whoever reads them would wait for a process that is gone. The number of the start does not tell them apart, because
    each machine counts its own. So the first process draws a name, and answers the questions of the others, which they
    draw too.
    """
    import torch.distributed

    others = range(1, size)
    if own == 0:
        name, answered = uuid.uuid4().hex, dict.fromkeys(others, b"")
        while not store.check([f"{name}/{other}" for other in others]):
            for other in others:
                # The question of an earlier start may stand there until the process asks its own.
                if store.check([f"question/{other}"]) and (asked := store.get(f"question/{other}")) != answered[other]:
                    store.set(f"answer/{asked.decode()}", name)
                    answered[other] = asked
            time.sleep(_ASK_AGAIN)
    else:
        asked_now = uuid.uuid4().hex
        store.set(f"question/{own}", asked_now)
        name = store.get(f"answer/{asked_now}").decode()  # it waits for the answer
        store.set(f"{name}/{own}", "")
    return torch.distributed.PrefixStore(name, store)


def lost_process(error: Exception) -> str:
    """Return what to say of an error that another process of the job has caused by ending; empty for other errors."""
    if world_size() == 1 or not any(sign in str(error) for sign in _SIGNS_OF_AN_END):
        return ""
    return f"process {rank()} of {world_size()} stops, because another process of the job has ended"


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
