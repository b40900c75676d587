"""Commands in processes of their own, forked from one that has imported everything, so that each starts at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from transfer.cli import main

#: Seconds after which a command counts as hung.
LIMIT = 120.0


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Its exit status; −N if signal N killed it, None if it hung and was killed.
        said: Standard error.
        result: Standard output.
        seconds: How long it took.
    """

    status: int | None
    said: str
    result: str
    seconds: float

    @property
    def error(self) -> str:
        """The last line of standard error; empty if there is none."""
        return self.said.strip().rpartition("\n")[2]

    @property
    def is_refusal(self) -> bool:
        """Whether it ended with one line that says what is wrong."""
        return self.status == 2 and ": error: " in self.error and "Traceback" not in self.said


class Running:
    """A command that runs in a folder."""

    def __init__(self, folder: Path, argv: Sequence[str], prepare: Callable[[], None] | None = None) -> None:
        self.began = time.perf_counter()
        self.out, self.err = (folder.parent / f"{folder.name}.{os.urandom(4).hex()}.{name}" for name in ("out", "err"))
        sys.stdout.flush()
        self.process = os.fork()
        if not self.process:
            status = 3
            try:
                os.chdir(folder)
                for stream, path in ((1, self.out), (2, self.err)):
                    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), stream)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                torch.set_num_threads(1)
                if prepare is not None:
                    prepare()
                signal.signal(signal.SIGINT, signal.default_int_handler)  # as late as that: before, it is ours
                status = main(list(argv))
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            except BaseException:
                import traceback

                traceback.print_exc()
                status = 1
            finally:
                with contextlib.suppress(BaseException):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(status)

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, number)

    def wait(self, limit: float = LIMIT) -> Ended:
        """Wait for its end, or kill it at the limit, in seconds."""
        hung = False
        while True:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                break
            if not hung and time.perf_counter() - self.began > limit:
                hung = True
                self.send(signal.SIGKILL)
            time.sleep(0.002)
        said, result = map(_taken, (self.err, self.out))
        code = os.waitstatus_to_exitcode(status)
        return Ended(None if hung else code, said, result, time.perf_counter() - self.began)


def _taken(path: Path) -> str:
    """The text of a file, which goes; a process that was killed at once has made none."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    path.unlink(missing_ok=True)
    return text


def run(folder: Path, argv: Sequence[str], prepare: Callable[[], None] | None = None) -> Ended:
    """Run a command to its end."""
    return Running(folder, argv, prepare).wait()
