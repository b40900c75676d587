"""HDF5 files that are whole or not there at all, and text in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_TEXT = h5py.string_dtype()


@contextmanager
def whole_file(path: Path, attrs: Mapping[str, Any]) -> Iterator[h5py.File]:
    """An HDF5 file to write into, which takes the name ``path`` when it is complete and on the disk.

    Args:
        path: The file; one that is there is replaced.
        attrs: Its attributes; to them comes ``complete``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")  # one name: what a killed process left is written over
    try:
        with h5py.File(aside, "w") as file:
            for name, value in attrs.items():
                if value is None or isinstance(value, str):
                    file.attrs.create(name, _encoded(value or ""), dtype=_TEXT)
                else:
                    file.attrs[name] = value
            yield file
            file.attrs["complete"] = True
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(file: h5py.File, name: str, values: Sequence[str]) -> None:
    """Store strings as the dataset ``name``."""
    file.create_dataset(name, data=[_encoded(value) for value in values], dtype=_TEXT)


def read_text(file: h5py.File, name: str) -> list[str]:
    """The strings of the dataset ``name``."""
    return list(file[name].asstr(errors="surrogateescape")[:])


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """The attributes as plain Python values."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()}


def _encoded(text: str) -> bytes:
    """UTF-8, except that a file name which is not UTF-8 is the bytes that the disk has."""
    return text.encode("utf-8", "surrogateescape")
