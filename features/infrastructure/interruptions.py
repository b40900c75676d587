"""Signals that ask a process to stop, answered where the state of the work can be kept.

Ctrl-C sends SIGINT, a scheduler SIGTERM or SIGUSR1, and a terminal that closes SIGHUP. Anywhere in a command they raise
:class:`Interrupted`, so that unfinished files are removed and locks are released. Long work that has a checkpoint
defers them: it asks after each step, writes the checkpoint, and then raises.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from features.infrastructure.processes import world_size

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal has asked this process to stop; its text is the signal's name."""


class Requests:
    """Whether a signal has asked the process to stop, while that is deferred."""

    def __init__(self) -> None:
        self.name = ""
        self.owner = os.getpid()

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, and raise at a second Ctrl-C, for work that does not come to its next step.

        A launcher of several processes sends more than one signal by itself.
        """
        if os.getpid() != self.owner:
            _in_child(number)
        elif self.name and number == signal.SIGINT and world_size() == 1:
            _interrupt(number, frame)
        else:
            self.name = self.name or signal.Signals(number).name

    def install(self) -> dict[int, Any]:
        """Note the signals from now on; return what was done with them before."""
        return _handled_by(self.note)

    def answer(self) -> None:
        """Raise :class:`Interrupted` if a signal was noted."""
        if self.name:
            raise Interrupted(self.name)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the signals raise :class:`Interrupted` in the block. A signal that the process ignores stays ignored."""
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            _interrupt(number, frame)
        _in_child(number)

    before = _handled_by(handle)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def deferred() -> Iterator[Requests]:
    """Only note the signals in the block, which asks for them where its state is kept.

    Raises:
        Interrupted: A signal came and the block has ended without an answer to it.
    """
    requests = Requests()
    before = requests.install()
    try:
        yield requests
    finally:
        _restore(before)
    requests.answer()


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise Interrupted(signal.Signals(number).name)


def _in_child(number: int) -> None:
    """Do in a forked worker what it would do by itself; Ctrl-C, which the terminal sends it too, is its parent's."""
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _handled_by(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Give the signals a handler; return those that they had. Only the main thread can, and others change nothing."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, handler) for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN
    }


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
