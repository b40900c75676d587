"""MATLAB files of versions 5 to 7, read with checks: SciPy trusts the types, sizes and depths in them, and crashes.

Source: MAT-File Format, The MathWorks. An element is a tag of its type and of its size in bytes, and its content,
padded to 8 bytes. A matrix is an element of elements: its class, shape, name and values; of cells and structs the
values are matrices again.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.disk.regular_files import open_regular
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location

#: Bytes of the largest file; a list of a million images has 200 MB.
_LARGEST = 1 << 31
#: What compressed elements may become, in times the size of the file and in bytes beyond that.
_RATIO, _FREE = 100, 1 << 24
#: Matrices in each other; an annotation is a number in a struct. Dimensions of an array of NumPy.
_DEEPEST, _MOST_DIMENSIONS = 16, 32
_HEAD, _TAG = 128, 8
_MATRIX, _COMPRESSED = 14, 15
#: Classes of matrices. Objects, functions and sparse matrices are not read.
_CELLS, _STRUCT, _TEXT, _NUMBERS = 1, 2, 4, range(6, 16)
#: Types of elements: numbers, and encodings of text.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_COMPLEX = 0x0800

Part = tuple[int, memoryview]


def read_matlab(path: Location) -> dict[str, Any]:
    """Return the variables of a MATLAB file: texts, numbers and arrays of them, without dimensions of one entry.

    Cells are arrays of objects, and structs arrays with fields of objects, as SciPy's ``loadmat(squeeze_me=True)``.

    Raises:
        InputError: It is no regular file, no MATLAB file of versions 5 to 7, or damaged; it holds objects or functions;
            or it states more than is there.
    """
    with open_regular(path, "MATLAB file") as file:
        if os.fstat(file.fileno()).st_size > _LARGEST:
            raise InputError(f"{path} has more than {_LARGEST >> 20:,} MiB; expected lists of images")
        content = file.read()
    try:
        if content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
            raise ValueError("it has no head of version 5 to 7; save it with -v7")
        return _Reader("<" if content[126:128] == b"IM" else ">").variables(content)
    except (ValueError, struct.error, zlib.error, UnicodeError) as error:
        raise InputError(f"{path} is not a readable MATLAB file: {error}; copy it anew") from error


class _Reader:
    """Reads elements whose numbers have one order of bytes, ``<`` or ``>``."""

    def __init__(self, order: str) -> None:
        self.order = order

    def variables(self, content: bytes) -> dict[str, Any]:
        """The variables of a whole file by their names."""
        found: dict[str, Any] = {}
        for kind, inside in self._elements(memoryview(content)[_HEAD:], padded=False):
            if kind == _COMPRESSED:
                unpacker = zlib.decompressobj()
                unpacked = unpacker.decompress(inside, _FREE + _RATIO * len(content))
                if unpacker.unconsumed_tail:
                    raise ValueError(f"it becomes more than {_RATIO} times its size")
                kind, inside = self._elements(memoryview(unpacked), padded=False)[0]
            if kind == _MATRIX:
                name, value = self._matrix(inside, 0)
                found[name] = value
        return found

    def _elements(self, content: memoryview, padded: bool = True) -> list[Part]:
        """The types and the contents of elements; the short form has four bytes of content in its tag."""
        found, place = [], 0
        while place < len(content):
            kind, size = struct.unpack_from(f"{self.order}II", content, place)
            start = place + _TAG
            if kind >> 16 and padded:
                kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
                place += _TAG
                if size > 4:
                    raise ValueError("a short element has more than four bytes")
            else:
                place = start + (-(-size // 8) * 8 if padded else size)
            if start + size > len(content):
                raise ValueError("an element ends beyond what holds it")
            found.append((kind, content[start : start + size]))
        return found

    def _matrix(self, content: memoryview, depth: int) -> tuple[str, Any]:
        """The name and the value of a matrix."""
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        parts = self._elements(content)
        if not parts:  # an empty cell
            return "", np.empty(0)
        if [kind for kind, _ in parts[:3]] != [6, 5, 1]:
            raise ValueError("a matrix has no class, shape and name")
        (_, head), (_, sides), (_, name), *values = parts
        flags = struct.unpack_from(f"{self.order}I", head)[0]
        shape = tuple(struct.unpack(f"{self.order}{len(sides) // 4}i", sides[: len(sides) // 4 * 4]))
        size = math.prod(shape)
        if min(shape, default=-1) < 0 or len(shape) > _MOST_DIMENSIONS or size > len(content):
            raise ValueError(f"a matrix of {len(shape)} dimensions and {size:,} values is larger than the file")
        return bytes(name).decode("latin-1"), self._value(flags, shape, values, depth)

    def _value(self, flags: int, shape: tuple[int, ...], values: Sequence[Part], depth: int) -> Any:
        kind = flags & 0xFF
        if kind == _CELLS:
            return _squeezed(_objects(self._matrices(values, depth), shape))
        if kind == _STRUCT:
            return _squeezed(self._struct(shape, values, depth))
        if kind == _TEXT and len(values) == 1:
            return self._text(shape, *values[0])
        if kind in _NUMBERS and len(values) == 1 + bool(flags & _COMPLEX):
            real, *imaginary = (self._numbers(*part) for part in values)
            found = real + 1j * imaginary[0] if imaginary else real
            return _squeezed(found.reshape(shape, order="F"))
        raise ValueError("it holds something else than numbers, texts, cells and structs")

    def _matrices(self, parts: Sequence[Part], depth: int) -> list[Any]:
        if any(kind != _MATRIX for kind, _ in parts):
            raise ValueError("a cell is no matrix")
        return [self._matrix(inside, depth + 1)[1] for _, inside in parts]

    def _struct(self, shape: tuple[int, ...], values: Sequence[Part], depth: int) -> NDArray[Any]:
        (_, length), (_, names), *below = values
        width = struct.unpack_from(f"{self.order}i", length)[0]
        if width < 1:
            raise ValueError("the fields of a struct have no names")
        fields = [
            bytes(names[i : i + width]).partition(b"\0")[0].decode("latin-1") for i in range(0, len(names), width)
        ]
        entries = self._matrices(below, depth)
        found = np.empty(shape, dtype=[(field, object) for field in fields])
        for i, field in enumerate(fields):
            found[field] = _objects(entries[i :: len(fields)], shape)
        return found

    def _numbers(self, kind: int, content: memoryview) -> NDArray[Any]:
        if kind not in _TYPES:
            raise ValueError("numbers are of an unknown type")
        return np.frombuffer(content, f"{self.order}{_TYPES[kind]}").astype(_TYPES[kind])

    def _text(self, shape: tuple[int, ...], kind: int, content: memoryview) -> Any:
        """A text, or an array of the rows of a matrix of characters."""
        if kind not in _ENCODINGS:
            raise ValueError("a text is of an unknown type")
        of_bytes = {"utf-16": "-le" if self.order == "<" else "-be", "utf-32": "-le" if self.order == "<" else "-be"}
        encoding = _ENCODINGS[kind]
        decoded = bytes(content).decode(encoding + of_bytes.get(encoding, ""), "surrogatepass")
        if len(decoded) != math.prod(shape) or len(shape) != 2:
            raise ValueError(f"a text of {len(decoded):,} characters has the shape {shape}")
        rows = ["".join(decoded[i :: shape[0]]).rstrip("\0") for i in range(shape[0])] if decoded else []
        return rows[0] if len(rows) == 1 else np.array(rows, dtype=object)


def _objects(values: Sequence[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of objects, which are stored by columns."""
    found = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        found[i] = value
    return found.reshape(shape, order="F")  # raises if there are more or fewer


def _squeezed(array: NDArray[Any]) -> Any:
    """An array without dimensions of one entry; a single value as it is."""
    found = array.squeeze()
    return found.item() if not found.ndim and not found.dtype.names else found
