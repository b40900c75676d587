"""A file of features: named columns of one row an image, or one row a class, whatever its format is."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.dataset_spec import DatasetSpec
from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, local_copy
from features.precomputed.seals import is_whole
from features.readers.checks import existing_file, expanded

#: Name of the array or of the metadata of a file that holds its provenance as JSON.
PROVENANCE = "transfer.features"
#: Rows that are read at a time: few, so that the product of labels and features stays small beside the covariance.
BLOCK = 512
#: Bytes that are hashed at a time.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Column:
    """What a file holds under one name.

    Attributes:
        kind: ``features`` for a row of floats, ``integers`` and ``text`` for one value a row, else ``other``.
        rows: Number of rows.
        about: What it holds, in words, such as ``float32, 512 a row``.
        width: Floats a row; None for other kinds, and if the format does not say it.
    """

    kind: Literal["features", "integers", "text", "other"]
    rows: int
    about: str
    width: int | None = None


class FeatureFile(ABC):
    """An open file of features.

    Attributes:
        path: The file, or its address.
        columns: What it holds, by name.
        provenance: What :mod:`features.precomputed.writing` noted about the bank that it was written from; empty for
            other files.
    """

    path: Location
    columns: Mapping[str, Column]
    provenance: Mapping[str, Any]
    _hashed: tuple[int, int, int] | None = None
    _sealed_from: int | None = None

    @abstractmethod
    def values(self, name: str) -> NDArray[Any] | list[str]:
        """Return all values of a column of one value a row: an array of numbers, or texts.

        Raises:
            InputError: A value is missing; the message names the row.
        """

    @abstractmethod
    def blocks(self, name: str, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """Yield the features (B, D) of the rows, which are in ascending order, at most :data:`BLOCK` at a time.

        Raises:
            InputError: A row has no features, or another number of them than others; the message names it.
        """

    def width(self, name: str) -> int:
        """Return the number of features a row."""
        found = self.columns[name].width
        assert found is not None
        return found

    def matrix(self, name: str) -> NDArray[Any]:
        """Return all rows of a column of features, (N, D)."""
        blocks = list(self.blocks(name, np.arange(self.columns[name].rows)))
        return np.concatenate(blocks) if blocks else np.empty((0, self.width(name)), dtype=np.float32)

    def covariance(self) -> NDArray[np.float32] | None:
        """Return the within-class covariance (D, D) that the file has beside its columns; None if it has none."""
        return None

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content; raises `InputError` if that is not what was written."""
        self.check_seal()
        self._hashed = self._status()
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def check_seal(self) -> None:
        """Raise `InputError` if the file has a seal, and its content is not what was written."""
        if self._sealed_from is None:
            return
        if not is_whole(local_copy(self.path), self._sealed_from, expected=bool(self.provenance.get("sealed"))):
            raise self.error("damaged, or edited since it was written from a bank; export the bank again")

    def check_unchanged(self) -> None:
        """Raise `InputError` if the file has changed since it was hashed."""
        if self._hashed is not None and self._status() != self._hashed:
            raise self.error("was changed while it was read; give the command again")

    def _status(self) -> tuple[int, int, int]:
        found = local_copy(self.path).stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def listed(self) -> str:
        """Return the columns with what they hold, for messages."""
        return ", ".join(f"{name} ({column.about})" for name, column in self.columns.items()) or "nothing"

    def error(self, message: str) -> InputError:
        """Return an error about this file, for the caller to raise."""
        return InputError(f"{self.path}: {message}")


class ArrayFile(FeatureFile):
    """A file of named arrays, of which rows can be read by their numbers."""

    @abstractmethod
    def reader(self, name: str) -> AbstractContextManager[Callable[[int, int], NDArray[Any]]]:
        """Open an array; return a function from the first row and the one behind the last to these rows."""

    def values(self, name: str) -> NDArray[Any] | list[str]:
        with self.reader(name) as read:
            return as_values(read(0, self.columns[name].rows))

    def blocks(self, name: str, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        with self.reader(name) as read:
            for start in range(0, self.columns[name].rows, BLOCK):
                first, last = np.searchsorted(rows, [start, start + BLOCK])
                if first < last:
                    yield read(start, start + BLOCK)[rows[first:last] - start]


def as_values(array: NDArray[Any]) -> NDArray[Any] | list[str]:
    """Return the values of an array of one value a row: texts as a list, numbers as they are."""
    if array.dtype.kind == "S":
        return [value.decode("utf-8", "surrogateescape") for value in array.tolist()]
    return list(map(str, array.tolist())) if array.dtype.kind in "UTb" else array


def array_column(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Column:
    """Describe an array by its type and shape."""
    rows = shape[0] if shape else 0
    name = "text" if dtype.kind in "SUT" else "Python objects" if dtype.kind == "O" else str(dtype)
    if len(shape) == 2:
        width = shape[1]
        about = f"{name}, {width} a row"
        return Column("features", rows, about, width) if dtype.kind == "f" else Column("other", rows, about)
    if len(shape) == 1:
        return Column("integers" if dtype.kind in "iu" else "text" if dtype.kind in "SUTb" else "other", rows, name)
    return Column("other", rows, f"{name} of shape {shape}")


def provenance_in(text: str | None) -> dict[str, Any]:
    """Return a provenance from its JSON; empty if there is none, or it is something else.

    Raises:
        ValueError: It is no provenance that this toolkit has written.
    """
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("schema") != PROVENANCE:
        return {}
    kinds = {"dataset": str, "column": str, "width": int, "attributes": dict}
    if wrong := [name for name, kind in kinds.items() if not isinstance(found.get(name), kind)]:
        raise ValueError(f"the {wrong[0]} of its provenance is {found.get(wrong[0])!r}")
    return found


@dataclass(frozen=True)
class FileFormat:
    """A format of files of features.

    Attributes:
        name: What it is called.
        meaning: What is read of it, in one line.
        suffixes: The endings of its file names.
        open: Opens a file without reading its rows. Raises `InputError` if it is damaged or of another format.
    """

    name: str
    meaning: str
    suffixes: tuple[str, ...]
    open: Callable[[Location], FeatureFile]


#: Every format by name.
FORMATS = Catalogue("format of features", FileFormat, "features.precomputed.formats", "transfer.feature-formats")


def open_feature_file(spec: DatasetSpec) -> FeatureFile:
    """Open the file of a ``features:`` spec, by the ending of its name.

    Raises:
        InputError: The file is missing, empty or damaged, or of no format in :data:`FORMATS`.
    """
    endings = {suffix: row for row in FORMATS.values() for suffix in row.suffixes}
    expected = f"a file of features whose name ends in {', '.join(endings)}"
    path = existing_file(spec, expanded(spec.location), expected)
    row = endings.get(path.suffix.lower())
    if row is None:
        raise spec.error(f"{path}: expected {expected}")
    if local_copy(path).stat().st_size == 0:
        raise spec.error(f"{path} is empty; save the features again")
    try:
        return row.open(path)
    except InputError as error:
        raise spec.error(str(error)) from error
