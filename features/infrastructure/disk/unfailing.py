"""Files for libraries that do not survive a failed write."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Unfailing(io.RawIOBase):
    """A new file for a library that does not survive a failed write, such as HDF5, which then ends the process.

    After a write has failed, this one and all others seem to be done. :meth:`check` raises what has failed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._file = path, path.open("w+b", buffering=0)
        self._fault: BaseException | None = None

    def check(self) -> None:
        """Raise what has failed: an `OSError` with the name of the file, or an interruption."""
        if self._fault is not None:
            raise self._fault

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int | None:
        return self._file.readinto(buffer)

    def write(self, content: Any) -> int:
        with memoryview(content) as view, view.cast("B") as rest:
            done = 0
            while done < len(rest) and self._fault is None:
                with self._noted():
                    done += self._file.write(rest[done:])
            return len(rest)

    def truncate(self, size: int | None = None) -> int:
        if self._fault is None:
            with self._noted():
                return self._file.truncate(size)
        return size or 0

    def close(self) -> None:
        with self._noted():
            self._file.close()
        super().close()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._fault = OSError(error.errno, error.strerror, str(self._path))
        except KeyboardInterrupt as error:  # a signal
            self._fault = error
