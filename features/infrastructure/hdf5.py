"""HDF5 files: written completely or not at all, with text as UTF-8."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import h5py
import numpy as np

from features.infrastructure.addresses import Location, local_copy, located
from features.infrastructure.errors import InputError
from features.infrastructure.files import atomic_file
from features.infrastructure.secrets import without_secrets

_TEXT = h5py.string_dtype()


@contextmanager
def opened(path: str | Location, mode: Literal["r", "w"] = "r") -> Iterator[h5py.File]:
    """Open an HDF5 file; that at an address is read from a copy on the disk.

    Raises:
        OSError: The file cannot be opened, read or written. If the operating system is the cause, such as a missing
            file or a full disk, the error names the file, which h5py's own does not.
    """
    try:
        # No locks of HDF5's own: files are written aside, and some file systems have none.
        with h5py.File(local_copy(located(path)), mode, locking=False) as file:
            yield file
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


@contextmanager
def readable(path: Location, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file that was extracted; any fault of its content becomes an `InputError` that calls it ``kind``."""
    try:
        with opened(path) as file:
            yield file
    except InputError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's fault, not the file's
            raise InputError(
                f"{path}: the {kind} cannot be read ({error.strerror}); check the disk and its permissions"
            ) from error
        if not h5py.is_hdf5(local_copy(path)):
            raise InputError(f"{path}: not a readable {kind} (it is not an HDF5 file)") from error
        # A dataset is missing or has another type.
        raise InputError(f"{path}: not a readable {kind} ({error}); extract it again") from error


@contextmanager
def atomic_hdf5(path: Location, attrs: Mapping[str, Any]) -> Iterator[h5py.File]:
    """Yield an HDF5 file to write to; it replaces ``path`` once it is complete and on the disk.

    Its attributes are ``attrs``, where None is stored as an empty text and addresses lose credentials and signatures,
    and ``complete``, which is added at the end.
    """
    with atomic_file(path) as aside, opened(aside, "w") as file:
        for name, value in attrs.items():
            if value is None or isinstance(value, str):
                file.attrs.create(name, _encoded(without_secrets(value or "")), dtype=_TEXT)
            else:
                file.attrs[name] = value
        yield file
        file.attrs["complete"] = True


def write_text(file: h5py.File, name: str, values: Sequence[str]) -> None:
    """Store strings as the dataset ``name``."""
    file.create_dataset(name, data=[_encoded(value) for value in values], dtype=_TEXT)


def read_text(file: h5py.File, name: str) -> list[str]:
    """Return the strings of the dataset ``name``."""
    return list(file[name].asstr(errors="surrogateescape")[:])


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """Return the attributes as plain Python values."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()}


def _encoded(text: str) -> bytes:
    """Encode as UTF-8; a file name that is not UTF-8 keeps its bytes."""
    return text.encode("utf-8", "surrogateescape")
