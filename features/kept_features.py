"""Features of images in a plain file while they are computed, so that they need not fit in memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class KeptFeatures:
    """The features of images in a plain float32 file, which survives a killed process.

    Args:
        path: The file.
        dim: Width D of the features.
        rows: Number of rows to keep; rows after them were written after the last checkpoint.
    """

    def __init__(self, path: Path, dim: int, rows: int) -> None:
        self.path, self.dim = path, dim
        self._file = path.open("r+b" if rows else "w+b")
        self._file.truncate(rows * dim * 4)
        self._file.seek(0, os.SEEK_END)

    @staticmethod
    def rows(path: Path, dim: int) -> int:
        """Return the number of complete rows of a file; 0 if it is missing."""
        return path.stat().st_size // (4 * dim) if path.exists() else 0

    def append(self, features: NDArray[np.float32]) -> None:
        """Add the features (B, D) of a batch."""
        self._file.write(np.ascontiguousarray(features, dtype=np.float32).data)

    def flush(self) -> None:
        """Return when all rows are on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def array(self) -> NDArray[np.float32]:
        """Return all rows, (N, D), as an array that is read from the disk when it is used."""
        self.flush()
        rows = self.rows(self.path, self.dim)
        return np.memmap(self.path, np.float32, "r", shape=(rows, self.dim)) if rows else np.empty((0, self.dim), "f4")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
