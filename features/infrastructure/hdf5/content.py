"""The content of HDF5 files that this toolkit has written, read with its checksums and against what is expected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from features.infrastructure.disk.held_files import HeldFile
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import checksums
from features.infrastructure.hdf5.opening import read_attributes, readable, remedy
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts

#: Kinds of numbers by the kinds of NumPy's types.
_KINDS = {"floats": "f", "whole numbers": "iu"}
#: Rows, and texts, that are read at a time.
_ROWS, _TEXTS = 4096, 1 << 16
#: A shape, where None stands for any length.
Shape = tuple[int | None, ...]


class Content:
    """What a file holds. Files of earlier releases have no checksums, and are read without.

    Attributes:
        attributes: Of the file, but for its checksum.
        changed: The first thing found that is not what was written; empty if there is none.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.attributes = read_attributes(file)
        self._checksum, self.changed = self.attributes.get(checksums.OF_FILE), ""
        if self._checksum is not None and self._checksum != checksums.of_file(file, self.attributes):
            self.changed = "its attributes or its list of datasets"
        self.attributes.pop(checksums.OF_FILE, None)

    def hold(self) -> HeldFile:
        """Return the content of the path, to be opened again."""
        return HeldFile.of(self._file.id.get_vfd_handle())

    def __contains__(self, name: str) -> bool:
        return isinstance(self._file.get(name), h5py.Dataset)

    def length(self, name: str) -> int:
        """Return the number of rows of a dataset."""
        return len(self._dataset(name))

    def array(self, name: str, kind: Literal["floats", "whole numbers"], shape: Shape) -> NDArray[Any]:
        """Return an array of numbers; raise `ValueError` if it is of another kind or shape, before it is read."""
        dataset = self._numbers(name, kind, shape)
        array: NDArray[Any] = dataset[()]
        self._compare(name, dataset, checksums.of_rows(array), 0)
        return array

    def blocks(self, name: str, shape: Shape, rows: int) -> Iterator[NDArray[np.floating]]:
        """Yield the rows of an array of floats, about ``rows`` at a time.

        Raises:
            ValueError: It is of another kind or shape, its rows are not what was written, or one is not finite.
        """
        dataset = self._numbers(name, "floats", shape)
        step = max(rows // checksums.ROWS, 1) * checksums.ROWS
        for start in range(0, len(dataset), step):
            block = dataset[start : start + step]
            self._compare(name, dataset, checksums.of_rows(block), start)
            if self.changed:
                raise ValueError(self.fault)
            finite = np.isfinite(block)
            if not finite.all():
                raise ValueError(f"{name}, row {start + int(np.argmin(finite.all(axis=1)))}: holds NaN or infinity")
            yield block

    def matrix(self, name: str, shape: Shape) -> NDArray[np.floating]:
        """Return all rows of an array of floats; errors are those of :meth:`blocks`."""
        dataset, done = self._numbers(name, "floats", shape), 0
        whole: NDArray[np.floating] = np.empty(dataset.shape, dataset.dtype)
        for block in self.blocks(name, shape, _ROWS):
            whole[done : done + len(block)] = block
            done += len(block)
        return whole

    def texts(self, name: str, length: int | None = None) -> Texts:
        """Return texts; raise `ValueError` if there are none of them, or not ``length``."""
        dataset = self._dataset(name)
        kind = h5py.check_string_dtype(dataset.dtype)
        if kind is None or not _fits(dataset.shape, (length,)):
            raise ValueError(f"{name} holds {_about(dataset)}; expected {length or ''} texts")
        if kind.length is None:
            found = Texts.of(value.decode("utf-8", "surrogateescape") for value in dataset[()].tolist())
        else:
            found = Texts.of_arrays(dataset[start : start + _TEXTS] for start in range(0, len(dataset), _TEXTS))
        if self._checksum is not None:
            self._compare(name, dataset, checksums.of_texts(found), 0)
        return found

    def text(self, name: str, length: int | None = None) -> list[str]:
        """As :meth:`texts`, of which there are not very many."""
        return list(self.texts(name, length))

    @property
    def fault(self) -> str:
        """The end of a message about what was changed."""
        return f"damaged or edited: {self.changed} is not what was written"

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self._file.get(name)
        if not isinstance(found, h5py.Dataset):
            raise ValueError(f"it has no dataset {name}")
        return found

    def _numbers(self, name: str, kind: str, shape: Shape) -> h5py.Dataset:
        dataset = self._dataset(name)
        if dataset.dtype.kind not in _KINDS[kind] or not _fits(dataset.shape, shape):
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise ValueError(f"{name} holds {_about(dataset)}; expected {kind} of shape ({wanted})")
        return dataset

    def _compare(self, name: str, dataset: h5py.Dataset, found: NDArray[np.uint32], start: int) -> None:
        """Note it if rows from ``start`` on are not what was written."""
        if self._checksum is None or self.changed:
            return
        first = start // checksums.ROWS
        expected = np.asarray(dataset.attrs.get(checksums.OF_ROWS, ()))[first : first + len(found)]
        if not np.array_equal(found, expected):
            self.changed = name


@contextmanager
def stored(path: Location, kind: str, held: HeldFile | None = None) -> Iterator[Content]:
    """Open a file that messages call ``kind``, with the content that is ``held``, if that is given.

    Raises:
        InputError: It cannot be read, is damaged, or something in it is not what was written. Where that is wrong in
            itself, the message is about that: what is noticed by a checksum alone is told at the end of the block.
    """
    with readable(path, kind, held) as file:
        content = Content(file)
        yield content
        if content.changed:
            raise InputError(f"{path}: not a readable {kind} ({content.fault}); {remedy(kind)}")


def _fits(shape: tuple[int, ...] | None, expected: Shape) -> bool:
    return (
        shape is not None
        and len(shape) == len(expected)
        and all(asked is None or asked == length for length, asked in zip(shape, expected, strict=True))
    )


def _about(dataset: h5py.Dataset) -> str:
    return f"{dataset.dtype} of shape {dataset.shape}"
