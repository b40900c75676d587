"""HDF5 files: written completely or not at all, opened once they are known to be harmless, with text as UTF-8."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from features.infrastructure.disk.files import atomic_file
from features.infrastructure.disk.held_files import HeldFile, identity
from features.infrastructure.disk.stored_rows import StoredRows
from features.infrastructure.disk.unfailing import Unfailing
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import checksums
from features.infrastructure.hdf5.survey import Suspect, survey
from features.infrastructure.hdf5.vetting import fault_of, reason
from features.infrastructure.names import as_bytes
from features.infrastructure.provenance import versions
from features.infrastructure.storage.addresses import Location, local_copy
from features.infrastructure.storage.secrets import without_secrets
from features.infrastructure.texts import Texts

#: The oldest format whose groups, headers and attributes have checksums; HDF5 1.8 reads it.
_FORMAT = ("v108", "v110")
#: Bytes that are written at a time.
_BLOCK = 2**24
#: Texts are stored with one length, which has no heap, unless that takes so much more room than they need.
_ROOM, _SMALL = 4, 2**20
#: Files that were vetted, with what is wrong with them.
_vetted: dict[tuple[int, ...], str | None] = {}
#: Files that are remembered.
_MOST_VETTED = 2**14


@contextmanager
def readable(path: Location, kind: str, held: HeldFile | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file that messages call ``kind``; any fault of its content becomes an `InputError`.

    The content is the one that is ``held``, where that is given, whatever has become of the path.

    Nothing of it is read before it is vetted, once in a process: see :mod:`features.infrastructure.hdf5.vetting`.
    """
    try:
        with ExitStack() as stack:
            raw = None if held is None or held.path is None else stack.enter_context(held.path.open("rb", buffering=0))
            # HDF5 itself opens no file whose name is gone.
            file = stack.enter_context(_opened(local_copy(path)) if raw is None else h5py.File(raw, "r"))
            if held is not None:
                opened = file.id.get_vfd_handle() if raw is None else raw.fileno()
                if identity(os.fstat(opened)) != held.identity:
                    raise InputError(f"{path}: the {kind} was changed while it was in use; give the command again")
            yield file
    except InputError:
        raise
    except Suspect as error:
        raise InputError(f"{path}: not a readable {kind} ({error}); {remedy(kind)}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's fault, not the file's
            raise InputError(
                f"{path}: the {kind} cannot be read ({error.strerror}); check the disk and its permissions"
            ) from error
        fault = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise InputError(f"{path}: not a readable {kind} ({fault}); {remedy(kind)}") from error


def remedy(kind: str) -> str:
    """What to do about a damaged file of a kind, as the end of a sentence."""
    return "extract it again" if kind in ("feature bank", "shard") else "save it again, or fetch it again"


def _opened(path: Path) -> h5py.File:
    """Open a file whose content was vetted, even if another file takes its place in between."""
    while True:
        with path.open("rb") as head:  # by which the system says what is wrong with a path
            found = identity(os.fstat(head.fileno()))
            has_checksums = _has_checksums(head.read(48), head)
        if found not in _vetted:
            if len(_vetted) >= _MOST_VETTED:
                _vetted.clear()
            _vetted[found] = _fault(path, has_checksums)
        if (fault := _vetted[found]) is not None:
            if identity(os.stat(path)) != found:
                continue
            raise Suspect(fault)
        # No locks of HDF5's own: files are written aside, and some file systems have none.
        file = h5py.File(path, "r", locking=False)
        if identity(os.fstat(file.id.get_vfd_handle())) == found:
            return file
        file.close()


def _has_checksums(head: bytes, file: Any) -> bool:
    """Whether the superblock and the root group of a file are of a version that has checksums."""
    if head[:8] != b"\x89HDF\r\n\x1a\n" or head[8:10] not in (b"\2\x08", b"\3\x08"):
        return False
    file.seek(int.from_bytes(head[36:43], "little"))  # the highest byte of an address is 0
    return bool(file.read(4) == b"OHDR")


def _fault(path: Path, has_checksums: bool) -> str | None:
    """What is wrong with a file; it is opened in this process only if nothing in it could hold that up."""
    if not h5py.is_hdf5(path):
        return "it is not an HDF5 file"
    if has_checksums:
        try:
            with h5py.File(path, "r", locking=False) as file:
                if checksums.OF_FILE in file.attrs and not survey(file, path, heap=False):
                    return None
        except Exception as error:
            return reason(error)
    return fault_of(path)


class Writer:
    """Writes the datasets of a file, with their checksums."""

    def __init__(self, file: h5py.File, disk: Unfailing) -> None:
        self._file, self._disk = file, disk

    def array(self, name: str, values: NDArray[Any] | StoredRows) -> None:
        """Store an array of at least one axis, block by block."""
        dataset = self._file.create_dataset(name, shape=values.shape, dtype=values.dtype)
        sums = []
        of_row = max(values[:1].nbytes, 1)
        step = max(_BLOCK // of_row // checksums.ROWS, 1) * checksums.ROWS
        for start in range(0, len(values), step):
            block = np.ascontiguousarray(values[start : start + step])
            dataset[start : start + step] = block
            sums.append(checksums.of_rows(block))
            self._disk.check()
        dataset.attrs.create(checksums.OF_ROWS, np.concatenate(sums) if sums else np.empty(0, np.uint32))

    def text(self, name: str, values: Sequence[str]) -> None:
        """Store texts; none may hold the character NUL."""
        texts = Texts.of(values)
        lengths = texts.lengths()
        longest = max(int(lengths.max(initial=0)), 1)
        if texts.holds_nul():
            raise ValueError(f"{name} holds the character NUL")
        if len(texts) * longest <= _ROOM * int(lengths.sum()) + _SMALL:
            dtype = h5py.string_dtype("utf-8", longest)
            dataset = self._file.create_dataset(name, shape=(len(texts),), dtype=dtype)
            start = 0
            for block in texts.arrays():
                dataset[start : start + len(block)] = block.astype(dtype)
                start += len(block)
                self._disk.check()
        else:
            dataset = self._file.create_dataset(name, data=list(texts.as_bytes()), dtype=h5py.string_dtype())
        dataset.attrs.create(checksums.OF_ROWS, checksums.of_texts(texts))
        self._disk.check()


@contextmanager
def atomic_hdf5(path: Location, attrs: Mapping[str, Any]) -> Iterator[Writer]:
    """Yield what writes the datasets of an HDF5 file; it replaces ``path`` once it is complete and on the disk.

    Its attributes are the ``versions`` of the packages behind it, as JSON; ``attrs``, where None is stored as an empty
    text and addresses lose credentials and signatures; ``complete``; and its checksum.

    Raises:
        OSError: The system cannot write it, for example because the disk is full.
    """
    with atomic_file(path) as aside, Unfailing(aside) as disk:
        with h5py.File(disk, "w", libver=_FORMAT) as file:
            for name, value in ({"versions": json.dumps(versions())} | dict(attrs)).items():
                _write_attribute(file, name, value)
            yield Writer(file, disk)
            file.attrs["complete"] = True
            _write_attribute(file, checksums.OF_FILE, checksums.of_file(file, read_attributes(file)))
        disk.check()


def _write_attribute(file: h5py.File, name: str, value: Any) -> None:
    if value is None or isinstance(value, str):
        encoded = as_bytes(without_secrets(value or ""))
        # Of one length: texts of variable length are in a heap, which has no checksum.
        file.attrs.create(name, np.array(encoded, dtype=h5py.string_dtype("utf-8", max(len(encoded), 1))))
    else:
        file.attrs[name] = value


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """Return the attributes as plain Python values: texts, numbers, and arrays of them."""
    return {name: _plain(value) for name, value in file.attrs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):  # np.bytes_ too
        return value.decode("utf-8", "surrogateescape")
    return value.item() if isinstance(value, np.generic) else value
