"""What the tests of several packages call."""

import linecache
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from PIL import Image

from features.infrastructure.errors import InputError
from features.readers import open_dataset

#: The archives of real images; tests that need one are skipped where it is missing.
DATA = Path(os.environ.get("TRANSFER_DATA", Path(__file__).parents[2] / "shared" / "data"))


def picture(path: Path, shade: int = 0) -> None:
    """Write a small image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(path)


def refused(spec: str) -> str:
    """The one line that a dataset spec is refused with."""
    with pytest.raises(InputError) as caught:
        open_dataset(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def signal_at(file: str, count: int, number: int) -> Iterator[list[int]]:
    """Send a signal at the ``count``-th line of a file that runs in the block.

    Yields:
        The number of lines that are left until then.

    Python itself looks for signals where a call ends, a loop goes on or a frame is entered again, and not before the
    first line of a ``finally``.
    """
    left = [count]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != file:
            return None
        if event == "line" and linecache.getline(file, frame.f_lineno).strip() != "self._ending = True":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                signal.raise_signal(number)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield left
    finally:
        sys.settrace(before)
