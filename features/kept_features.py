"""Features of images in a plain file while they are computed, so that they need not fit in memory."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from secrets import token_hex

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.disk.stored_rows import StoredRows

#: Bytes that are read at a time.
_BLOCK = 2**24


class KeptFeatures:
    """The features of images in a plain float32 file, which survives a killed process.

    Args:
        path: The file; of a scratch file, the beginning of its name.
        dim: Width D of the features.
        rows: Number of rows to keep; rows after them were written after the last checkpoint.
        scratch: Whether nothing needs the file after this process: it has no name then, and goes however that ends.

    Attributes:
        crc32: CRC-32 of all rows.
    """

    def __init__(self, path: Path, dim: int, rows: int = 0, *, scratch: bool = False) -> None:
        if scratch:
            path = path.with_name(f"{path.name}-{token_hex(4)}")  # no file of anyone else
        self.path, self.dim, self._scratch = path, dim, scratch
        self.crc32 = self.checksum(path, dim, rows)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC  # a link would lead to a file of something else
        self._file = os.fdopen(os.open(path, flags | (os.O_EXCL if scratch else 0), 0o666), "r+b", buffering=0)
        if scratch:
            path.unlink()
        self._file.truncate(rows * dim * 4)
        self._file.seek(0, os.SEEK_END)

    @staticmethod
    def rows(path: Path, dim: int) -> int:
        """Return the number of complete rows of a file; 0 if it is missing."""
        return path.stat().st_size // (4 * dim) if path.exists() else 0

    @staticmethod
    def checksum(path: Path, dim: int, rows: int) -> int:
        """Return the CRC-32 of the first rows of a file."""
        found, left = 0, 4 * dim * rows
        if rows:
            with path.open("rb") as file:
                while left and (block := file.read(min(left, _BLOCK))):
                    found, left = zlib.crc32(block, found), left - len(block)
        return found

    def append(self, features: NDArray[np.float32]) -> None:
        """Add the features (B, D) of a batch; an `OSError` names the file."""
        rest = np.ascontiguousarray(features, dtype=np.float32).reshape(-1).view(np.uint8).data
        self.crc32 = zlib.crc32(rest, self.crc32)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def flush(self) -> None:
        """Return when all rows are on the disk, unless nothing needs them after this process."""
        if not self._scratch:
            os.fsync(self._file.fileno())

    def array(self) -> StoredRows:
        """Return all rows, (N, D), which are read from the disk when they are used."""
        self.flush()
        rows = os.fstat(self._file.fileno()).st_size // (4 * self.dim)
        return StoredRows(self._file.fileno(), (rows, self.dim))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
