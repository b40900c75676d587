"""Signals that ask a process to stop, answered where the state of the work can be kept.

Ctrl-C sends SIGINT, a scheduler SIGTERM or SIGUSR1, and a terminal that closes SIGHUP. Anywhere in a command they raise
:class:`Interrupted`, so that unfinished files are removed and locks are released. Long work that has a checkpoint
defers them: it asks after each step, writes the checkpoint, and then raises.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from features.infrastructure.processes import world_size

#: Seconds until a signal is sent again.
_AGAIN = 0.01
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal has asked this process to stop; its text is the signal's name."""


class StopRequest:
    """Whether a signal has asked the process to stop, while that is deferred."""

    def __init__(self) -> None:
        self.name = ""
        self.first = True
        self.owner = os.getpid()

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, and raise at a second Ctrl-C, for work that does not come to its next step.

        A launcher of several processes sends more than one signal by itself.
        """
        if os.getpid() != self.owner:
            _in_child(number)
        elif self.name and number == signal.SIGINT and world_size() == 1:
            raise Interrupted(signal.Signals(number).name)
        else:
            self.name = self.name or signal.Signals(number).name

    def listen(self) -> None:
        """Note the signals from now on, also those that another library handles by now."""
        _handle(self.note, {})

    def answer(self) -> None:
        """Raise :class:`Interrupted` if a signal was noted."""
        if self.name:
            raise Interrupted(self.name)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first signal raise :class:`Interrupted` in the block, and a second Ctrl-C again.

    Other signals after the first do not disturb what is cleaned up. A signal that the process ignores stays ignored.
    One that comes while Python clears an object away, where an exception is lost, is sent again a moment later.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        request.note(number, frame)
        if os.getpid() == request.owner and request.first:
            request.first = False
            request.answer()

    def lost(exception: sys.UnraisableHookArgs) -> None:
        if isinstance(exception.exc_value, Interrupted):
            request.first = True
            number = signal.Signals[str(exception.exc_value)]
            threading.Timer(_AGAIN, os.kill, (request.owner, number)).start()
        else:
            before(exception)

    before, sys.unraisablehook = sys.unraisablehook, lost
    try:
        with _handled_by(handle):
            yield
    finally:
        sys.unraisablehook = before


@contextmanager
def deferred() -> Iterator[StopRequest]:
    """Only note the signals in the block, which asks for them where its state is kept.

    Raises:
        Interrupted: A signal came and the block has ended without an answer to it. An error of the block is raised
            instead.
    """
    request = StopRequest()
    with _handled_by(request.note):
        yield request
    request.answer()


def _in_child(number: int) -> None:
    """Do in a forked worker what it would do by itself; Ctrl-C, which the terminal sends it too, is its parent's."""
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Give the signals a handler in the block, and then those that they had."""
    before: dict[int, Any] = {}
    try:
        _handle(handler, before)
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


def _handle(handler: Callable[[int, FrameType | None], None], before: dict[int, Any]) -> None:
    """Give the signals a handler, and put those that they had into ``before``.

    Only the main thread can, and others change nothing. A signal that is ignored, or whose handler is not Python's and
    could not be given back, is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        handled = signal.getsignal(number)
        if handled is not signal.SIG_IGN and handled is not None:
            before[number] = handled
            signal.signal(number, handler)
