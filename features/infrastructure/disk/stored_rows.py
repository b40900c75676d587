"""Rows of numbers in a plain file, of which a part at a time is in memory."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


class StoredRows:
    """The rows of a file of features, as an array (N, D) of which slices are read.

    A mapping of the file would do, but its pages count as memory of the process.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, file: int, shape: tuple[int, int]) -> None:
        self._file, self.shape = file, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows are read one behind the other, got the step {step}")
        block = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
        self._read(block, start)
        return block

    def take(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the rows at M places, (M, D), in that order; rows side by side are read together."""
        sought, place = np.unique(places, return_inverse=True)
        rows = np.empty((len(sought), self.shape[1]), self.dtype)
        borders = [*np.flatnonzero(np.diff(sought, prepend=-2) > 1).tolist(), len(sought)]
        for first, last in pairwise(borders):
            self._read(rows[first:last], int(sought[first]))
        return rows[place]

    def _read(self, block: NDArray[np.float32], start: int) -> None:
        """Fill a block with the rows from ``start`` on."""
        left, offset = block.reshape(-1).view(np.uint8).data, start * self.shape[1] * self.dtype.itemsize
        while left:
            read = os.preadv(self._file, [left], offset)
            if not read:
                raise OSError(errno.EIO, "the file of features is shorter than it was")
            left, offset = left[read:], offset + read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)
