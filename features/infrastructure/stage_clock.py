"""A clock of stages: where the time of an extraction or of a training goes.

Code that may be profiled takes :class:`Stages`, whose methods do nothing. A :class:`StageClock` in its place measures.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

Value = TypeVar("Value")

#: The stages by the words that a table shows. Those of the loop handle each image.
START, DECODE_ALL, VALIDATION, EVALUATION, SAVE, TRACE = (
    "start",
    "decode once, before the loop",
    "validation",
    "evaluation at the end",
    "save",
    "the profile itself",
)
WAIT, TRANSFER, AUGMENT, FORWARD, LOSS, BACKWARD, OPTIMIZER, AFTER, SUMS, KEEP = (
    "wait for images",
    "transfer to device",
    "augment",
    "forward",
    "loss",
    "backward",
    "optimizer step",
    "averages and history",
    "class sums",
    "keep features",
)
LOOP = (WAIT, TRANSFER, AUGMENT, FORWARD, LOSS, BACKWARD, OPTIMIZER, AFTER, SUMS, KEEP)
#: What those who make the images ready do; on a CPU they also do the forward pass of an extraction.
DECODE = "decode"

_NOTHING = nullcontext()
_END = object()


class Stages:
    """Stages that nobody measures: what is given comes back as it is."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Return a context whose time belongs to a stage."""
        return _NOTHING

    def awaited(self, batches: Iterable[Value]) -> Iterable[Value]:
        """Return the batches; the time until each of them comes belongs to :data:`WAIT`."""
        return batches

    def metered(self, made: Value, name: str, workers: int) -> Value:
        """Return a dataset or a function whose work is measured in whichever process it is used."""
        return made

    def watched(self, module: Any, name: str) -> AbstractContextManager[object]:
        """Return a context in which the forward pass of a ``torch.nn.Module`` in training mode is a stage."""
        return _NOTHING

    def step(self, images: int) -> None:
        """Count the images of a batch that has gone through the loop."""


#: What measures nothing.
UNPROFILED = Stages()


@dataclass(frozen=True)
class Work:
    """What worker processes have done: seconds of all of them together, and on how many images.

    ``computing`` are the seconds in which they computed; in the others they waited for a disk, a store or a core.
    """

    seconds: float
    computing: float
    images: int


@dataclass(frozen=True)
class Measured:
    """Where the time went.

    Attributes:
        wall: Seconds from the first moment to the last.
        images: Number of images that went through the loop.
        seconds: Stage → seconds of this process, in the order in which they began; together at most ``wall``.
        work: Stage → the work that was measured in worker processes, or in this one within a stage.
        workers: Number of worker processes; 0 if the work was done in this process.
    """

    wall: float
    images: int
    seconds: Mapping[str, float]
    work: Mapping[str, Work] = field(default_factory=dict)
    workers: int = 0

    @property
    def other(self) -> float:
        """Seconds that belong to no stage."""
        return max(0.0, self.wall - sum(self.seconds.values()))


class StageClock(Stages):
    """Measures stages. A moment belongs to the innermost open stage, so that they add up to at most the wall time.

    Args:
        synchronize: Returns when the device has done what was asked of it, so that it is not booked to a later stage.
            While an error ends stages, it is not called: a device that has failed would raise again, and hide the
            error.
        now: The time in seconds.
    """

    def __init__(
        self, synchronize: Callable[[], object] = lambda: None, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._synchronize, self._now = synchronize, now
        self._handled = sys.exc_info()[1]  # by the caller, who may try again after an error
        self._seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._meters: dict[str, _Meter] = {}
        self._began = self._last = now()
        self.images, self.workers = 0, 0

    def start(self, name: str) -> None:
        """Begin a stage."""
        self._book()
        self._seconds.setdefault(name, 0.0)
        self._open.append(name)

    def stop(self, name: str) -> None:
        """End a stage, and those within it that an error has left open."""
        self._book()
        while self._open and self._open.pop() != name:
            pass

    def failing(self) -> bool:
        """Whether an error that was raised since the clock began is on its way."""
        return sys.exc_info()[1] is not self._handled

    def _book(self) -> None:
        if not self.failing():
            self._synchronize()
        now = self._now()
        if self._open:
            self._seconds[self._open[-1]] += now - self._last
        self._last = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.start(name)
        try:
            yield
        finally:
            self.stop(name)

    def awaited(self, batches: Iterable[Value]) -> Iterator[Value]:
        with self.stage(WAIT):
            left: Iterator[Any] = iter(batches)  # starts the workers
        while True:
            with self.stage(WAIT):
                batch: Any = next(left, _END)
            if batch is _END:
                return
            yield batch

    def metered(self, made: Value, name: str, workers: int) -> Value:
        self.workers = max(self.workers, workers)
        metered: Any = _Metered(made, self._meters.setdefault(name, _Meter()))
        return metered

    @contextmanager
    def watched(self, module: Any, name: str) -> Iterator[None]:
        # Functions of their own: a copy of the module, as a validation makes, shares them.
        def before(called: Any, *_: Any) -> None:
            if called.training:
                self.start(name)

        def after(called: Any, *_: Any) -> None:
            if called.training:
                self.stop(name)

        hooks = [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def step(self, images: int) -> None:
        self.images += images

    def measured(self) -> Measured:
        """Return what was measured until now."""
        self._book()
        work = {name: meter.read() for name, meter in self._meters.items()}
        return Measured(self._last - self._began, self.images, dict(self._seconds), work, self.workers)


class _Meter:
    """The sums of :class:`Work`, which worker processes share."""

    def __init__(self) -> None:
        self._sums = multiprocessing.Array("d", 3)

    @contextmanager
    def reading(self, images: int) -> Iterator[None]:
        seconds, computing = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            found = time.perf_counter() - seconds, time.thread_time() - computing, images
            with self._sums.get_lock():
                for place, value in enumerate(found):
                    self._sums[place] += value

    def read(self) -> Work:
        seconds, computing, images = list(self._sums.get_obj())
        return Work(seconds, computing, int(images))


class _Metered:
    """A dataset, or a function of a batch, that measures itself."""

    def __init__(self, made: Any, meter: _Meter) -> None:
        self._made, self._meter = made, meter

    def __getitem__(self, batch: Any) -> Any:
        with self._meter.reading(len(batch)):
            return self._made[batch]

    def __call__(self, batch: Any) -> Any:
        with self._meter.reading(len(batch)):
            return self._made(batch)
