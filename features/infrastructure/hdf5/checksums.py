"""Checksums of what an HDF5 file holds, so that a changed byte is noticed when it is read.

Each dataset has the attribute ``crc32``: one CRC-32 for each :data:`ROWS` rows, or one for all texts. The attribute
``checksum`` of the file is a SHA-256 of these, of the names, types and shapes of the datasets, and of all other
attributes of the file but the date ``created``: what is made twice has one checksum. All are about values, not about
bytes of the file, which may be copied or compressed by a program for HDF5. Where things are in the file is covered by
HDF5's own checksums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import h5py
import numpy as np
from numpy.typing import NDArray

from features.infrastructure.texts import Texts

#: Rows of one CRC-32. Rows are read in multiples of them.
ROWS = 512
#: Attributes of a dataset and of the file.
OF_ROWS, OF_FILE = "crc32", "checksum"
_DATE = "created"


def of_rows(array: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the checksums of the rows of an array, of which there is a multiple of :data:`ROWS`, or which are all."""
    parts = range(0, len(array), ROWS)
    sums = (crc32(np.ascontiguousarray(array[start : start + ROWS]).data) for start in parts)
    return np.fromiter(sums, dtype=np.uint32, count=len(parts))


def of_texts(texts: Texts) -> NDArray[np.uint32]:
    """Return the checksum of texts, none of which holds the character NUL."""
    found = 0
    for block in texts.blocks_of_bytes(b"\0"):
        found = crc32(block, found)
    return np.array([found], dtype=np.uint32)


def of_file(file: h5py.File, attributes: Mapping[str, Any]) -> str:
    """Return the checksum of a file with some attributes. Datasets that were added by others are left out."""
    datasets: dict[str, list[Any]] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and OF_ROWS in item.attrs:
            sums = np.asarray(item.attrs[OF_ROWS], dtype="<u4")
            kind = "text" if h5py.check_string_dtype(item.dtype) else item.dtype.str
            datasets[name] = [kind, list(item.shape), crc32(sums.tobytes())]

    file.visititems(add)
    known = {name: value for name, value in attributes.items() if name not in (OF_FILE, _DATE)}
    content = json.dumps([known, datasets], sort_keys=True, default=repr)
    return hashlib.sha256(content.encode()).hexdigest()
