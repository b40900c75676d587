"""Files that a person names, opened to be read: a pipe or a device cannot block, and none fills the memory."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location

_BLOCK = 1 << 20
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Location, kind: str, make: str = "", *, advice: str = "") -> BinaryIO:
    """Open a file, which messages call ``kind``, to read its bytes; that at an address is read from a copy.

    Only regular files are opened. A pipe, such as the shell's ``<(COMMAND)``, is refused: it may never give a byte, it
    may never end, and it can be read only once. ``make`` is the command that makes such a file, if there is one.

    Raises:
        InputError: There is no such file, it is no regular file, or it cannot be opened.
    """
    try:
        if not isinstance(path, Path):
            opened: BinaryIO = path.open("rb")
            return opened
        _require_regular(path, kind, os.stat(path).st_mode)  # before opening, which would wake the writer of a pipe
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        advice = f"make one with: {make}" if make else advice
        raise InputError(f"{path}: no such {kind}{f'; {advice}' if advice else ''}") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a name with NUL, or one that cannot be encoded
        reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise InputError(f"{path}: the {kind} cannot be read ({reason}); check its name and its permissions") from error
    try:
        _require_regular(path, kind, os.fstat(descriptor).st_mode)  # it may have been replaced meanwhile
    except InputError:
        os.close(descriptor)
        raise
    return BufferedReader(os.fdopen(descriptor, "rb", buffering=0))


def read_limited(path: Location, kind: str, limit: int, *, advice: str = "") -> bytes:
    """Read a whole file of at most ``limit`` bytes; arguments and errors are those of :func:`open_regular`."""
    with open_regular(path, kind, advice=advice) as file:
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise InputError(f"{path}: the {kind} cannot be read ({error.strerror}); check the disk") from error
    if len(content) > limit:
        raise InputError(f"{path}: not a readable {kind} (it has more than {limit >> 20} MiB); name another file")
    return content


def file_sha256(path: Location, kind: str) -> str:
    """Return the SHA-256 of a file; arguments and errors are those of :func:`open_regular`."""
    digest = hashlib.sha256()
    with open_regular(path, kind) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def only_regular_files() -> Iterator[None]:
    """Raise `InputError` if this thread opens a pipe or a device in the block, in whatever library.

    Reading one could take for ever. Directories may be opened.
    """
    _watch_opening()
    _WATCHED.set(True)
    try:
        yield
    finally:
        _WATCHED.set(False)


_WATCHED: ContextVar[bool] = ContextVar("watched", default=False)


@cache
def _watch_opening() -> None:
    """Look at each file that is opened from now on, where that is asked for. A hook of Python stays until it ends."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not _WATCHED.get() or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        try:
            mode = os.stat(arguments[0]).st_mode
        except (OSError, ValueError):
            return  # opening it says what is wrong
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise InputError(f"{os.fsdecode(arguments[0])}: is {_KINDS.get(stat.S_IFMT(mode), 'no file')}; remove it")

    sys.addaudithook(look)


def check_own_files(directory: Path, argument: str) -> None:
    """Raise `InputError` if a file of a directory is none of its own: a link that leads out of it, a pipe or a device.

    What is written there by a name of the toolkit's would go elsewhere.
    """
    whole = directory.resolve()
    for entry in os.scandir(directory):
        path = Path(entry.path)
        if entry.is_symlink() and not path.is_dir() and not path.resolve().is_relative_to(whole):
            raise InputError(f"{argument} {path}: is a link that leads out of the directory; put the file in its place")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{argument} {path}: is a pipe or a device; remove it")


def _require_regular(path: Path, kind: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        found = _KINDS.get(stat.S_IFMT(mode), "no file")
        advice = "name a file" if stat.S_ISDIR(mode) else "write what it gives to a file, and name that file"
        raise InputError(f"{path}: is {found}, not a {kind}; {advice}")
