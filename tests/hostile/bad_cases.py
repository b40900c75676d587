"""Cases that a guard must see as failures, and one that is right."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hostile.case import Case


def _does(what: Callable[[], object]) -> Callable[[Path], Callable[[], Mapping[str, int]]]:
    def run() -> Mapping[str, int]:
        what()
        return {"ant": 1}

    return lambda folder: run


NEEDS: tuple[str, ...] = ()
CASES = (
    Case("hangs", _does(lambda: time.sleep(600))),
    Case("dies", _does(os.abort)),
    Case("fills the memory", _does(lambda: bytearray(1 << 40))),
    Case("is right", _does(lambda: None)),
)
