"""MATLAB files of version 5, read after a look at their structure: SciPy trusts the shapes, sizes and depths in them.

Source: MAT-File Format, The MathWorks, 1999 to 2024. An element is a tag of its type and of its size in bytes, and its
content, padded to 8 bytes; a matrix is an element of elements, and of cells and structs these are matrices again.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any

from features.infrastructure.addresses import Location, local_copy
from features.infrastructure.errors import InputError
from features.infrastructure.regular_files import open_regular

#: Bytes of the largest file; a list of a million images has 200 MB.
_LARGEST = 1 << 31
#: What compressed elements may become, in times the size of the file and in bytes beyond that.
_RATIO, _FREE = 100, 1 << 24
#: Matrices in each other; an annotation is a number in a struct.
_DEEPEST = 16
_HEAD, _TAG = 128, 8
_COMPRESSED, _MATRIX = 15, 14
#: Classes of matrices that hold matrices, and all that hold plain values.
_CELLS, _STRUCT = 1, 2
_PLAIN = frozenset({4, *range(6, 16)})
#: Types of elements: of the flags, the shape and the name of a matrix, and of values.
_HEAD_TYPES, _VALUES = [6, 5, 1], frozenset({*range(1, 8), 9, 12, 13, 16, 17, 18})


def read_matlab(path: Location) -> dict[str, Any]:
    """Return the variables of a MATLAB file, with cells and structs as flat arrays.

    Raises:
        InputError: It is no regular file, no MATLAB file of version 5 or 7, or damaged; it holds objects or functions;
            or it states more than is there.
    """
    from scipy.io import loadmat

    with open_regular(path, "MATLAB file") as file:
        if os.fstat(file.fileno()).st_size > _LARGEST:
            raise InputError(f"{path} has more than {_LARGEST >> 20:,} MiB; expected lists of images")
        content = file.read()
    try:
        _check(content)
        return dict(loadmat(local_copy(path), squeeze_me=True))
    except Exception as error:  # on a damaged file, SciPy raises various errors
        reason = str(error) or type(error).__name__
        raise InputError(f"{path} is not a readable MATLAB file: {reason}; copy it anew") from error


def _check(content: bytes) -> None:
    """Raise ``ValueError`` unless each element of a file is as large as it states, and of a known kind."""
    if content[:4] and 0 in content[:4]:
        raise ValueError("it is of version 4; save it anew")
    if content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        raise ValueError("it has no head of version 5 or 7")
    order = "<" if content[126:128] == b"IM" else ">"
    place = _HEAD
    while place < len(content):
        kind, size = _tag(content, place, order)
        inside = memoryview(content)[place + _TAG : place + _TAG + size]
        if len(inside) < size:
            raise ValueError(f"an element ends beyond the file, at byte {place}")
        if kind == _COMPRESSED:
            unpacked = _unpacked(inside, len(content))
            kind, size = _tag(unpacked, 0, order)
            inside = memoryview(unpacked)[_TAG : _TAG + size]
            if len(inside) < size:
                raise ValueError("a compressed element is shorter than it states")
            place += _TAG + len(content[place + _TAG : place + _TAG + _tag(content, place, order)[1]])
        else:
            place += _TAG + size
        if kind == _MATRIX:
            _check_matrices(inside, order)


def _tag(content: Any, place: int, order: str) -> tuple[int, int]:
    if len(content) < place + _TAG:
        raise ValueError("it ends within an element")
    kind, size = struct.unpack_from(f"{order}II", content, place)
    return kind, size


def _unpacked(packed: memoryview, whole: int) -> bytes:
    packer = zlib.decompressobj()
    limit = _FREE + _RATIO * whole
    found = packer.decompress(packed, limit)
    if packer.unconsumed_tail:
        raise ValueError(f"it becomes more than {_RATIO} times its size")
    return found


def _check_matrices(content: memoryview, order: str) -> None:
    """Check a matrix and all in it, without calls in each other."""
    pending = [(content, 0)]
    while pending:
        inside, depth = pending.pop()
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        parts = _elements(inside, order)
        if not parts:
            continue  # an empty cell
        if len(parts) < 3 or len(parts[0][1]) < 4:
            raise ValueError("a matrix lacks its head")
        if [part for part, _ in parts[:3]] != _HEAD_TYPES:
            raise ValueError("a matrix has another head")
        kind = struct.unpack_from(f"{order}I", parts[0][1])[0] & 0xFF
        shape = struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1][: len(parts[1][1]) // 4 * 4])
        values = 1
        for side in shape:
            values *= side
        if min(shape, default=0) < 0 or len(shape) > 32 or values > len(content):
            raise ValueError(f"a matrix of {len(shape)} dimensions and {values:,} values is larger than the file")
        if kind in (_CELLS, _STRUCT):
            below = parts[3:] if kind == _CELLS else parts[5:]
            if any(part != _MATRIX for part, _ in below):
                raise ValueError("a cell is no matrix")
            if kind == _STRUCT:
                values *= _fields(parts, order)
            if len(below) < values:
                raise ValueError(f"{len(below):,} of {values:,} cells are there")
            pending += [(part, depth + 1) for _, part in below]
        elif kind not in _PLAIN:
            raise ValueError("it holds an object or a function")
        elif not 4 <= len(parts) <= 5 or any(part not in _VALUES for part, _ in parts[3:]):
            raise ValueError("a matrix has no values, or of an unknown type")


def _fields(parts: list[tuple[int, memoryview]], order: str) -> int:
    """The number of fields of a struct, from the length of a name and all names."""
    if len(parts) < 5 or len(parts[3][1]) < 4:
        raise ValueError("a struct lacks its fields")
    length = struct.unpack_from(f"{order}i", parts[3][1])[0]
    if length < 1:
        raise ValueError("the fields of a struct have no names")
    return len(parts[4][1]) // length


def _elements(content: memoryview, order: str) -> list[tuple[int, memoryview]]:
    """The types and the contents of the elements in a matrix; the short form has four bytes of content in its tag."""
    found, place = [], 0
    while place < len(content):
        kind, size = _tag(content, place, order)
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            place += _TAG
            if size > 4:
                raise ValueError("a short element has more than four bytes")
        else:
            start = place + _TAG
            place = start + -(-size // 8) * 8
        part = content[start : start + size]
        if len(part) < size:
            raise ValueError("an element is shorter than it states")
        found.append((kind, part))
    return found
