"""``.npz``: named arrays, read row by row even where they are compressed."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError
from features.infrastructure.names import duplicate
from features.infrastructure.storage.addresses import Location, local_copy
from features.precomputed.feature_file import (
    BLOCK,
    PROVENANCE,
    FeatureFile,
    FileFormat,
    array_column,
    as_values,
    provenance_in,
)
from features.precomputed.formats.npy import HEADER_ERRORS, OBJECTS, array_header, check_size

#: What an archive may become, in times its size and in bytes beyond that: labels that repeat are packed very well.
_RATIO, _FREE = 100, 1 << 28

#: Bytes at the end of a file that may hold its comment.
_END = 2**10


class NpzFile(FeatureFile):
    """The arrays of a ``.npz`` file."""

    def __init__(self, path: Location) -> None:
        self.path = path
        with self._opened() as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            if twice := duplicate(members):
                raise self.error(f"two of its arrays are called {twice.removesuffix('.npy')!r}")
            self._headers = {name.removesuffix(".npy"): _header(archive, name) for name in members}
        self.columns = {
            name: array_column(dtype, shape) for name, (shape, _, dtype) in self._headers.items() if name != PROVENANCE
        }
        try:
            self.provenance = provenance_in(str(self._whole(PROVENANCE)) if PROVENANCE in self._headers else None)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise self.error(f"not a readable .npz file ({error})") from error
        self._sealed_from = max(local_copy(path).stat().st_size - _END, 0)

    def values(self, name: str) -> NDArray[Any] | list[str]:
        return as_values(self._whole(name))

    def blocks(self, name: str, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        shape, fortran, dtype = self._headers[name]
        if fortran and shape[1] > 1:  # its rows are not in one piece
            whole = self._whole(name)
            yield from (whole[rows[start : start + BLOCK]] for start in range(0, len(rows), BLOCK))
            return
        of_row = shape[1] * dtype.itemsize
        with self._opened() as archive, archive.open(f"{name}.npy") as file:
            array_header(file, np.lib.format.read_magic(file))
            for start in range(0, int(rows[-1]) + 1 if len(rows) else 0, BLOCK):
                content = file.read(BLOCK * of_row)
                first, last = np.searchsorted(rows, [start, start + BLOCK])
                if first < last:
                    yield np.frombuffer(content, dtype).reshape(-1, shape[1])[rows[first:last] - start]

    def _whole(self, name: str) -> NDArray[Any]:
        if self._headers[name][2].hasobject:
            raise self.error(f"the array {name!r} holds {OBJECTS}")
        with self._opened() as archive, archive.open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        """Open the archive; a fault of its content is an `InputError`."""
        try:
            with zipfile.ZipFile(local_copy(self.path)) as archive:
                parts = archive.infolist()
                packed = sum(part.compress_size for part in parts)
                if sum(part.file_size for part in parts) > _FREE + _RATIO * packed:
                    raise ValueError(f"it becomes more than {_RATIO} times its size")
                yield archive
        except InputError:
            raise
        except (*HEADER_ERRORS, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise self.error(f"not a readable .npz file ({error})") from error


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    with archive.open(name) as file:
        shape, fortran, dtype = array_header(file, np.lib.format.read_magic(file))
        check_size(shape, dtype, archive.getinfo(name).file_size - file.tell())
        return shape, fortran, dtype


NPZ = FileFormat("npz", "arrays by name", (".npz",), NpzFile)
