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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from features.infrastructure.processes import world_size

#: Seconds after which an exception that was dropped is raised again, again and again until it is.
_AGAIN = 0.01
#: The signal that wakes the process for it: nothing is done about it by default, and nobody sends it by hand.
_WAKE = getattr(signal, "SIGURG", 0)
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGURG")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal has asked this process to stop; its text is the signal's name."""


class StopRequest:
    """Whether a signal has asked the process to stop, in a block that handles the signals.

    Args:
        at_once: Whether the first signal raises :class:`Interrupted` where it comes, or is only noted.

    Attributes:
        name: The name of the first signal; empty before it.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.name = ""
        self._at_once = at_once
        self._owner = os.getpid()
        self._before: dict[int, Any] = {}
        self._ending = self._ended = False
        self._lost, self._dropping = "", False

    def note(self, number: int) -> None:
        """Note a signal, and raise at a second Ctrl-C, for work that does not come to its next step.

        A launcher of several processes sends more than one signal by itself.
        """
        name = signal.Signals(number).name
        if number == _WAKE:
            if self._lost and not self._dropping:
                lost, self._lost = self._lost, ""
                raise Interrupted(lost)
        elif self._ending or self._lost:
            self.name = self.name or name
        elif self.name and number == signal.SIGINT and world_size() == 1:
            raise Interrupted(name)
        else:
            self.name = self.name or name
            if self._at_once:
                self._at_once = False
                raise Interrupted(self.name)

    def listen(self) -> None:
        """Note the signals from now on, including those whose handlers another library has replaced."""
        self._take({})

    def answer(self) -> None:
        """Raise :class:`Interrupted` if a signal was noted."""
        if self.name:
            raise Interrupted(self.name)

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals in the block. Only the main thread can, and others change nothing.

        Nothing is raised while the block is left: what comes then is noted, and the rest goes to the handlers before.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        hook = sys.unraisablehook

        def dropped(unraisable: sys.UnraisableHookArgs) -> None:
            """Have an exception raised again that came while Python cleared an object away, where it is dropped."""
            if isinstance(unraisable.exc_value, Interrupted):
                self._dropping = True
                self._lost = str(unraisable.exc_value)
                self.name = self.name or self._lost
                threading.Thread(target=self._wake, daemon=True).start()
                self._dropping = False
            else:
                hook(unraisable)

        try:
            sys.unraisablehook = dropped
            self._take(self._before)
            yield
        finally:
            self._ending = True
            self._lost = ""
            sys.unraisablehook = hook
            try:
                for number, handler in self._before.items():
                    signal.signal(number, handler)
            finally:  # a handler that was given back may raise
                self._ended = True

    def _take(self, before: dict[int, Any]) -> None:
        """Handle the signals, and put the handlers that they had into ``before``.

        A signal that is ignored, or whose handler is not Python's and could not be given back, is left alone.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and handler is not None:
                before[number] = handler
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A forked worker does what it would by itself; Ctrl-C, which the terminal sends it too, is its parent's.
            if number != signal.SIGINT:
                _as_by_default(number)
        elif not self._ended:
            self.note(number)
        elif callable(before := self._before.get(number)):  # it was not given back, because a signal came meanwhile
            before(number, frame)
        else:
            _as_by_default(number)

    def _wake(self) -> None:
        while self._lost:
            time.sleep(_AGAIN)
            os.kill(self._owner, _WAKE)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first signal raise :class:`Interrupted` in the block, and a second Ctrl-C again.

    Other signals after the first do not disturb what is cleaned up. A signal that the process ignores stays ignored.
    One that comes while Python clears an object away, where an exception is dropped, raises it a moment later.

    Raises:
        Interrupted: A signal came. It is raised at the end of the block if a library has swallowed it, and instead of
            an error that the block ends with afterwards.
    """
    request = StopRequest(at_once=True)
    try:
        with request.handled():
            yield
    except (Exception, SystemExit) as error:  # such as that of a module whose import the signal has cut off
        if request.name:
            raise Interrupted(request.name) from error
        raise
    request.answer()


@contextmanager
def deferred() -> Iterator[StopRequest]:
    """Only note the signals in the block, which asks for them where its state is kept.

    Raises:
        Interrupted: A signal came and the block has ended without an answer to it. An error of the block is raised
            instead.
    """
    request = StopRequest()
    with request.handled():
        yield request
    request.answer()


def _as_by_default(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
