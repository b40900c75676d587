"""Runs hostile inputs in a process of their own, and in a new one after each that ends it."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Seconds in which a case must end, also on a machine with much to do; what hangs, hangs for ever.
PATIENCE = 60
#: Seconds in which the process must start.
_START = 300
_TESTS = Path(__file__).parents[1]


class Guard:
    """A process that reads hostile inputs, one after the other.

    Args:
        cases: The module that has them, as ``CASES``.
        patience: Seconds in which each must end.
    """

    def __init__(self, cases: str = "hostile.make_corpus", patience: float = PATIENCE) -> None:
        self._cases, self._patience = cases, patience
        self._process: subprocess.Popen[str] | None = None

    def outcome(self, name: str) -> dict[str, Any]:
        """Return what became of a case; ``hang`` or ``died`` if its process had to be ended, or ended itself."""
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(name) + "\n")
        self._process.stdin.flush()
        line = self._line(self._patience)
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self._process.kill()
        status, self._process = self._process.wait(), None
        return {"hang": self._patience} if line is None else {"died": status}

    def _line(self, seconds: float) -> str | None:
        """The next line of the process; empty if it has ended, None if there is none after some seconds."""
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if selector.select(seconds) else None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(PATIENCE)
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        paths = [str(_TESTS.parent), str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hostile.child", self._cases],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._line(_START) == "ready\n"
        return self._process
