"""``.npy``: one array of features, read through the memory of the system; labels are in a second file."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.disk.regular_files import open_regular
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, local_copy
from features.precomputed.feature_file import ArrayFile, FileFormat, array_column

#: Bytes of the longest header, which is a line, and rows of an array without a value.
_LONGEST_HEADER, _MOST_EMPTY = 1 << 16, 1 << 24
#: What reading the header of a damaged array raises: it is parsed as Python text.
HEADER_ERRORS = (ValueError, OSError, EOFError, TypeError, OverflowError, MemoryError, RecursionError, SyntaxError)
#: What a message says about arrays of Python objects.
OBJECTS = (
    "Python objects (a pickle), which are not read, because a pickle can run code; save texts as array.astype(str)"
)


class NpyFile(ArrayFile):
    """The array of a ``.npy`` file, which is called ``feature``."""

    def __init__(self, path: Location) -> None:
        self.path, self._array = path, load_array(path)
        self.columns = {"feature": array_column(self._array.dtype, self._array.shape)}
        self.provenance: dict[str, Any] = {}

    def reader(self, name: str) -> AbstractContextManager[Callable[[int, int], NDArray[Any]]]:
        return nullcontext(lambda start, stop: np.asarray(self._array[start:stop]))


def load_array(path: Location) -> NDArray[Any]:
    """Return the array of a ``.npy`` file, mapped into memory; raise `InputError` for a pickle or a damaged file."""
    try:
        with open_regular(path, ".npy file") as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = array_header(file, version)
            check_size(shape, dtype, os.fstat(file.fileno()).st_size - file.tell())
        if dtype.hasobject:
            raise InputError(f"{path}: holds {OBJECTS}")
        # A file without values cannot be mapped.
        return np.load(local_copy(path), mmap_mode="r" if math.prod(shape) else None, allow_pickle=False)
    except InputError:
        raise
    except HEADER_ERRORS as error:
        raise InputError(f"{path}: not a readable .npy file ({str(error) or 'its header is no plain text'})") from error


def array_header(file: Any, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order (whether of Fortran) and type of an array from a file behind its magic string."""
    wide = version != (1, 0)
    start = file.read(4 if wide else 2)
    length = int.from_bytes(start, "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header has {length:,} bytes")
    head = io.BytesIO(start + file.read(length))  # NumPy reads as much as the file states
    return (np.lib.format.read_array_header_2_0 if wide else np.lib.format.read_array_header_1_0)(head)


def check_size(shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    """Raise ``ValueError`` unless an array is as large as the bytes that are ``held`` for it; a pickle has any size."""
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    size = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and (size > held or (not size and max(shape, default=0) > _MOST_EMPTY)):
        raise ValueError(f"its shape {shape} of {dtype} needs {size:,} bytes, and it holds {held:,}")


NPY = FileFormat("npy", "one array; labels in a second file", (".npy",), NpyFile)
