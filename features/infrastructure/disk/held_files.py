"""Files that are kept open, so that what was read of them goes on with the same content under whatever name."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

#: Files that are kept open at most: systems allow a process about a thousand.
_MOST = 64
_open: weakref.WeakSet[HeldFile] = weakref.WeakSet()


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What tells one content of a path from another."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class HeldFile:
    """The content that a path had when it was opened, until this object is collected.

    Where too many files are held, the system does not name open files, or the object has come from another process, it
    is no more than what tells this content from another.

    Attributes:
        identity: What tells it from another.
        path: A name of the open file; None if it is not open.
    """

    def __init__(self, known: tuple[int, ...], descriptor: int | None = None) -> None:
        self.identity, self.path = known, None
        if descriptor is not None and len(_open) < _MOST and Path("/dev/fd").is_dir():
            own = os.dup(descriptor)
            self.path = Path(f"/dev/fd/{own}")
            weakref.finalize(self, os.close, own)
            _open.add(self)

    @classmethod
    def of(cls, descriptor: int) -> HeldFile:
        """Hold the file of a descriptor."""
        return cls(identity(os.fstat(descriptor)), descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        return HeldFile, (self.identity,)
