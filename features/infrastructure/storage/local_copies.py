"""Copies on the disk of files in a store, for what only reads from the disk: HDF5 files, archives, tables."""

from __future__ import annotations

import atexit
import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from features.infrastructure.console import console
from features.infrastructure.storage.secrets import without_secrets
from features.infrastructure.storage.stores import answer

#: Environment variable for a folder that keeps the copies. Without it they are removed when the process ends.
CACHE = "TRANSFER_CACHE"
#: What stores call the version or the last change of a file.
_STAMPS = ("etag", "md5", "content-md5", "digest", "generation", "blob_id", "sha", "oid")
_TIMES = ("lastmodified", "last-modified", "mtime", "updated", "modified", "created")
#: Bytes of a file whose copying is told.
_LARGE = 2**26
#: A lock for each path of a copy: threads that ask for one file wait for one transfer. A forked process has its own.
_copying: dict[str, threading.Lock] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_copying.clear)


def copy_of(address: str) -> Path:
    """Return a copy of the file at an address, with all its secrets; it is copied once for each version of the file.

    Errors are those of :func:`features.infrastructure.storage.stores.answer`.
    """
    found = answer(address, lambda store, path: store.info(path))
    if found["type"] != "file":
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), without_secrets(address))
    file, size = _place(address, found), size_in(found)
    with _copying.setdefault(str(file), threading.Lock()):
        if not file.is_file():
            _copy(address, file, size)
    return file


def _copy(address: str, file: Path, size: int | None) -> None:
    """Copy a file of a known size, or of one that the store does not say, whole or not at all."""
    if size is not None and size >= _LARGE:
        console.print(f"{without_secrets(address)}: copying {size / 2**20:,.0f} MiB to {file.parent}")
    aside = file.with_name(f".{os.uname().nodename}-{os.getpid()}.part")

    def copy(store: Any, path: str) -> None:
        store.get_file(path, str(aside))
        if size is not None and aside.stat().st_size != size:
            raise ConnectionError(f"{aside.stat().st_size:,} of {size:,} bytes came")

    try:
        answer(address, copy)
        os.replace(aside, file)
    finally:
        aside.unlink(missing_ok=True)


def adopt(file: Path, address: str) -> None:
    """Make a file that was stored at an address the copy of it."""
    found = answer(address, lambda store, path: store.info(path))
    shutil.move(file, _place(address, found))


def size_in(info: Mapping[str, Any]) -> int | None:
    """Return the size of a file in bytes, from what a store says of it; None if it does not say."""
    size = info.get("size", info.get("Size"))
    return None if size is None else int(size)


def stamp_in(info: Mapping[str, Any]) -> str:
    """Return the version of a file, from what a store says of it; empty if it does not say."""
    return _first(info, _STAMPS)


def time_in(info: Mapping[str, Any]) -> Any:
    """Return when a file was last changed, as a store writes it; empty if it does not say."""
    return _first(info, _TIMES)


def _first(info: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    found = {name.lower(): value for name, value in info.items() if value}
    return next((found[name] for name in names if name in found), "")


def _place(address: str, info: Mapping[str, Any]) -> Path:
    """The path of the copy of one version; where a store does not tell versions apart, that of this process."""
    version = f"{stamp_in(info)} {time_in(info)}".strip() or f"of process {os.getpid()}"
    digest = hashlib.sha256(f"{address} {size_in(info)} {version}".encode("utf-8", "surrogateescape")).hexdigest()
    folder = Path(os.environ.get(CACHE) or _temporary()) / digest[:32]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"copy{Path(address.partition('?')[0]).suffix}"


@cache
def _temporary() -> str:
    folder = tempfile.mkdtemp(prefix="transfer-")
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: str, owner: int) -> None:
    """Remove a folder, but not at the end of a process that was forked from its owner."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
