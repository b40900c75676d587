"""The profile of a command: the table of its stages, what bounds it, and a trace of a few steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import torch
import torch.profiler as tracing

from features.infrastructure.console import as_table, console, warn_once
from features.infrastructure.devices import pick_device
from features.infrastructure.disk.files import atomic_file, check_new
from features.infrastructure.errors import InputError, as_typed
from features.infrastructure.formats.tables import read_columns, write_table
from features.infrastructure.interruptions import Interrupted
from features.infrastructure.processes import one_per_core, rank
from features.infrastructure.stage_clock import (
    AFTER,
    AUGMENT,
    BACKWARD,
    DECODE,
    DECODE_ALL,
    EVALUATION,
    FORWARD,
    KEEP,
    LOOP,
    LOSS,
    OPTIMIZER,
    SAVE,
    SUMS,
    TRACE,
    TRANSFER,
    UNPROFILED,
    VALIDATION,
    WAIT,
    Measured,
    StageClock,
    Stages,
)
from features.infrastructure.storage.addresses import Location

#: Columns of the table. ``in`` says which processes, and ``share`` is that of their time, 0 to 1.
COLUMNS = ("stage", "in", "seconds", "share", "images_per_second")
#: Batches after which the trace begins, the first of which only warms up, and batches that are in it.
UNTRACED, TRACED = 2, 5
#: Share of the seconds of decoding from which on it is computing, rather than reading, that takes the time.
_COMPUTING = 0.5
#: What may be the bound → its stages.
BOUNDS: Mapping[str, tuple[str, ...]] = {
    "images": (WAIT, DECODE_ALL),
    "network": (FORWARD, LOSS, BACKWARD),
    "transfer": (TRANSFER,),
    "augmentation": (AUGMENT,),
    "optimizer": (OPTIMIZER, AFTER),
    "sums": (SUMS,),
    "judging": (VALIDATION, EVALUATION),
    "writing": (SAVE, KEEP),
}


@contextmanager
def profiled(asked: bool, device: str, out: Location, table: Location, trace: Location) -> Iterator[Stages]:
    """Measure the block if that is ``asked``, then print and write its profile; of several processes, in the first.

    It is also written if a signal ends the block, and not after another error, nor if no image went through the loop.
    If it cannot be written, a line says so: what the block has made is complete.

    Args:
        asked: Whether to measure.
        device: The device of the block, as :func:`features.infrastructure.devices.pick_device` takes it.
        out: What messages call the output of the block.
        table: Where the table is written.
        trace: Where the trace is written.
    """
    if not asked or rank() != 0:
        yield UNPROFILED
        return
    profile = Profile(pick_device(device), trace)
    try:
        yield profile
    except Interrupted:
        profile.report(out, table)
        raise
    except BaseException:
        profile.end_trace(write=False)
        raise
    profile.report(out, table)


def check_profile(table: Location, trace: Location, *, overwrite: bool) -> None:
    """Check that a profile can be written beside a file: one that is there is replaced, another file is not.

    Raises:
        InputError: Another file has such a name.
    """
    if table.is_file() and not overwrite:
        try:
            overwrite = read_columns(table, kind="profile") == COLUMNS
        except InputError:  # not even a table
            overwrite = False
    check_new({"`profile`": table, "the trace of `profile`": trace}, overwrite=overwrite)


class Profile(StageClock):
    """A clock of stages that also writes a trace of a few batches, in which the stages have their names."""

    def __init__(self, device: torch.device, trace: Location) -> None:
        # Or the profiler's own library would print what it does.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        super().__init__(_waiting_for(device))
        self.device, self._path, self.traced = device, trace, False
        activities = [tracing.ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(tracing.ProfilerActivity.CUDA)
        schedule = tracing.schedule(wait=UNTRACED - 1, warmup=1, active=TRACED, repeat=1)
        self._tracer: Any = tracing.profile(activities=activities, schedule=schedule, on_trace_ready=self._write_trace)
        self._records: list[tuple[str, Any]] = []
        self._batches = 0
        self._recording = False
        self._tracer.start()

    def start(self, name: str) -> None:
        if name in BOUNDS["judging"]:
            self._end_trace_before_judging()
        elif name in LOOP and self._batches == UNTRACED:
            self._begin_recording()
        super().start(name)
        record = tracing.record_function(name) if self._recording and name != TRACE else None
        if record is not None:
            record.__enter__()
        self._records.append((name, record))

    def stop(self, name: str) -> None:
        while self._records:
            opened, record = self._records.pop()
            if record is not None:
                record.__exit__(None, None, None)
            if opened == name:
                break
        super().stop(name)

    def step(self, images: int) -> None:
        super().step(images)
        self._batches += 1
        if self._tracer is not None and self._batches != UNTRACED:
            self._step_tracer()
        if self._batches >= UNTRACED + TRACED:
            self.end_trace()

    def _step_tracer(self) -> None:
        with self.stage(TRACE):
            self._tracer.step()

    def _begin_recording(self) -> None:
        """End the warm-up, unless that was done, where the next batch begins: a validation may come before it."""
        judging = any(name in BOUNDS["judging"] for name, _ in self._records)
        if self._tracer is not None and not self._recording and not judging:
            self._step_tracer()
            self._recording = True

    def _end_trace_before_judging(self) -> None:
        """End a trace that has a batch, since a validation may have any number of batches."""
        if self._batches > UNTRACED:
            self.end_trace()

    def end_trace(self, write: bool = True) -> None:
        """End the trace, and ``write`` it if it has a batch."""
        if self._tracer is None:
            return
        tracer, self._tracer, self._recording = self._tracer, None, False
        if not write or self._batches <= UNTRACED:
            tracer.on_trace_ready = None
        # It waits for the device, which may have failed: that error is on its way already.
        with self.stage(TRACE), suppress(RuntimeError) if self.failing() else nullcontext():
            tracer.stop()

    def _write_trace(self, tracer: Any) -> None:
        self.traced = _is_done("written", self._path, partial(self._export, tracer))

    def _export(self, tracer: Any) -> None:
        with atomic_file(self._path) as aside:
            tracer.export_chrome_trace(str(aside))
            if not aside.is_file():  # PyTorch raises nothing where the disk is full
                raise OSError("PyTorch could not write the file; is the disk full?")

    def report(self, out: Location, table: Location) -> None:
        """Print the table and what bounds the time, and write them."""
        self.end_trace()
        found = self.measured()
        if not found.images:
            return
        rows, said = table_rows(found), as_typed(verdict(found, self.device.type))
        provenance = {"profile": str(out), "device": str(self.device), "images": found.images, "verdict": said}
        values = [[_rounded(value) for value in row] for row in rows]
        written = _is_done("written", table, partial(write_table, table, provenance, COLUMNS, values))
        shown = [(stage, where, f"{s:,.2f}", f"{share:.1%}", _rate(rate)) for stage, where, s, share, rate in rows]
        console.print(as_table(["stage", "in", ">seconds", ">share", ">images/s"], shown), soft_wrap=False)
        console.print(f"{out}: {said}")
        if written:
            console.print(f"{out}: the table is {table}")
        if self.traced:
            console.print(f"{out}: a trace of some batches is {self._path}; open it at https://ui.perfetto.dev")
            return
        if self._batches <= UNTRACED:
            console.print(f"{out}: no trace, which begins after {UNTRACED} batches")
        _is_done("removed", self._path, partial(self._path.unlink, missing_ok=True))  # that of another run


def _is_done(what: str, path: Location, do: Callable[[], object]) -> bool:
    """Whether a file of the profile could be, for example, written; if it could not, a line says why."""
    try:
        do()
    except (OSError, InputError) as error:
        reason = getattr(error, "strerror", None) or error
        warn_once(f"{path}: cannot be {what} ({reason}); the result of the command is complete without it")
        return False
    return True


def _waiting_for(device: torch.device) -> Callable[[], object]:
    """A function that waits until a device has done what it was asked to do."""
    if device.type == "cuda":
        return partial(torch.cuda.synchronize, device)
    wait: Callable[[], object] = torch.get_device_module(device).synchronize  # that of a CPU does nothing
    return wait


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"


def table_rows(found: Measured) -> list[tuple[str, str, float, float, float | None]]:
    """Return the rows of the table, in the order of :data:`COLUMNS`.

    First come the stages of this process, which add up to its time, then the work of others or within a stage. The rate
    is the one that the images would go through at if nothing else took time; it is None for what is not done for each
    image.
    """
    own = [
        (name, "main", seconds, _share(seconds, found.wall), _per_second(found.images if name in LOOP else 0, seconds))
        for name, seconds in found.seconds.items()
    ]
    own.append(("other", "main", found.other, _share(found.other, found.wall), None))
    own.append(("all", "main", found.wall, 1.0, _per_second(found.images, found.wall)))
    where = f"{found.workers} worker{'s' * (found.workers > 1)}" if found.workers else "main, within a stage"
    processes = max(1, found.workers)
    for name, work in found.work.items():
        share = _share(work.seconds, processes * found.wall)
        own.append((name, where, work.seconds, share, _per_second(processes * work.images, work.seconds)))
    return own


def _share(seconds: float, of: float) -> float:
    return seconds / of if of else 0.0


def _per_second(images: int, seconds: float) -> float | None:
    return images / seconds if images and seconds else None


def bound_of(found: Measured) -> tuple[str, float]:
    """Return the key of :data:`BOUNDS`, or other, that took the largest share of the time, and that share, 0 to 1.

    The start and the profile itself do not count. Time in which this process waited for workers that also run the
    network is divided as their work is.
    """
    shares = {bound: sum(found.seconds.get(name, 0.0) for name in stages) for bound, stages in BOUNDS.items()}
    work = {name: found.work[name].seconds for name in (DECODE, FORWARD) if name in found.work}
    if work.get(FORWARD):
        waited = found.seconds.get(WAIT, 0.0) * work[FORWARD] / sum(work.values())
        shares["images"] -= waited
        shares["network"] += waited
    shares["other"] = found.other
    bound = max(shares, key=lambda name: shares[name])
    return bound, _share(shares[bound], sum(shares.values()))


def verdict(found: Measured, device: str) -> str:
    """Return one sentence: what bounds the time, and what to try; ``device`` is a type such as ``cuda``."""
    bound, share = bound_of(found)
    training = BACKWARD in found.seconds
    chip = {"cpu": "the CPU", "cuda": "the GPU"}.get(device, f"the device ({device})")
    said = {
        "images": f"waiting for images: {_of_loader(found)}",
        "network": _of_network(found, device, chip, training),
        "transfer": "copying images to the device: its connection is the bound; try a smaller `image_size`",
        "augmentation": f"augmenting the images: {chip} is the bound; try a simpler `augment`",
        "optimizer": f"the optimizer's step, averages and history: {chip} is the bound; try a larger `batch_size`",
        "sums": f"adding up class sums: {chip} is the bound; try a network with shorter features",
        "judging": "judging the model: the validation and the evaluation are the bound; try fewer images for them",
        "writing": "writing the output: its disk or store is the bound; try another one for `out`",
        "other": "in none of the stages: profile a longer run",
    }[bound]
    return f"{share:.0%} of the time after the start was {said}"


def _of_network(found: Measured, device: str, chip: str, training: bool) -> str:
    """Where the network runs, and what to try."""
    cores = one_per_core()
    faster = "a larger `batch_size`, several GPUs (torchrun)" if device == "cuda" else "a GPU (`device`)"
    if device == "cuda" and training:
        faster += ", `compile`"
    if device == "cpu" and not training and found.workers < cores:
        faster = f"`workers` {cores}, {faster}"
    passes = "forward and backward pass" if training else "forward pass"
    return f"the network's {passes}: {chip} is the bound; try {faster}, `precision` bf16, or a smaller network"


def _of_loader(found: Measured) -> str:
    """Which part of the loader is the bound, and what to try."""
    cores = one_per_core()
    more = f"try `workers` {cores}, or" if found.workers < cores else "there is a worker for each core already; try"
    decode = found.work.get(DECODE)
    if decode is None or not decode.seconds:
        return f"the loader (disk or CPU) is the bound; {more} a faster disk"
    share = min(1.0, decode.computing / decode.seconds)
    if share >= _COMPUTING:
        return f"decoding computed for {share:.0%} of its time, so the CPU is the bound; {more} images stored smaller"
    only = f"decoding computed for only {share:.0%} of its time, so the disk or the store is the bound"
    return f"{only}; try `workers` {2 * max(1, found.workers)}, or a copy of the images on a faster disk"
