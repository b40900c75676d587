"""``.npy``: one array of features, read through the memory of the system; labels are in a second file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.addresses import Location, local_copy
from features.infrastructure.errors import InputError
from features.precomputed.feature_file import ArrayFile, FileFormat, array_column

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
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = array_header(file, version)
        if dtype.hasobject:
            raise InputError(f"{path}: holds {OBJECTS}")
        # A file without values cannot be mapped.
        return np.load(local_copy(path), mmap_mode="r" if np.prod(shape) else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable .npy file ({error})") from error


def array_header(file: Any, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order (whether of Fortran) and type of an array from a file behind its magic string."""
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


NPY = FileFormat("npy", "one array; labels in a second file", (".npy",), NpyFile)
