"""Addresses: files and folders in a store or on a web server, such as ``s3://bucket/bank.h5``, read through fsspec.

An address stands wherever the path of a file stands. :func:`located` tells the two apart, and :class:`Address` has the
methods of :class:`pathlib.Path` that reading needs, so that a reader takes either. What only reads from the disk gets a
:func:`local_copy`.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from features.infrastructure.errors import InputError
from features.infrastructure.storage.local_copies import adopt, copy_of
from features.infrastructure.storage.secrets import without_secrets
from features.infrastructure.storage.stores import Unanswered, answer

_PROTOCOL = re.compile(r"([a-z][a-z0-9+-]*)://", re.IGNORECASE)
#: An address in a dataset spec, in the brackets that it needs if it holds one of the spec's own signs.
BRACKETED = re.compile(r"<([a-z][a-z0-9+-]*://[^<>]*)>", re.IGNORECASE)
_WEB = frozenset({"http", "https"})
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs"})


@dataclass(frozen=True, repr=False)
class Address:
    """The address of a file or of a folder; as text, it has neither user nor query.

    Attributes:
        full: The address with its user and its query, to be used for requests only.
    """

    full: str

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __str__(self) -> str:
        return without_secrets(self.full)

    @property
    def protocol(self) -> str:
        """What stands before ``://``."""
        return self.full.partition("://")[0].lower()

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server, which has no listings, and takes no files."""
        return self.protocol in _WEB

    @property
    def _parts(self) -> tuple[str, str, str]:
        """The protocol and the host or the bucket; the path; the query, with its ?."""
        path, mark, query = self.full.partition("?") if self.is_web else (self.full, "", "")
        start = path.index("://") + 3
        end = path.find("/", start)
        end = len(path) if end < 0 else end
        return path[:end], path[end:], mark + query

    @property
    def name(self) -> str:
        """The last component of the path, as :attr:`pathlib.PurePath.name`."""
        head, path, _ = self._parts
        last = path.rstrip("/").rpartition("/")[2] or head.partition("://")[2]
        return unquote(last, errors="surrogateescape") if self.is_web else last

    @property
    def suffix(self) -> str:
        """The ending of the name, as :attr:`pathlib.PurePath.suffix`."""
        return Path(self.name).suffix

    @property
    def parent(self) -> Address:
        """The folder that it is in. The query stays: on a web server it may open all files of a folder."""
        head, path, query = self._parts
        return Address(head + path.rstrip("/").rpartition("/")[0] + query)

    def __truediv__(self, other: str | os.PathLike[str] | Address) -> Address:
        """The address of a file below this folder. An address in place of a path stays what it is, as in pathlib."""
        if isinstance(other, Address):
            return other
        head, path, query = self._parts
        below = quote(os.fsencode(other)) if self.is_web else os.fspath(other)
        joined = posixpath.join(path or "/", below)
        return Address(head + (posixpath.normpath(joined) if ".." in below else joined) + query)

    def __rtruediv__(self, folder: Path) -> Address:
        """An address in place of a path below a folder stays what it is."""
        return self

    def with_name(self, name: str) -> Address:
        """The address of another file in the same folder."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> Address:
        """The address with another ending."""
        return self.with_name(str(Path(self.name).with_suffix(suffix)))

    def resolve(self) -> Address:
        """The address itself, which is absolute."""
        return self

    def info(self) -> dict[str, Any] | None:
        """What the store says of the file or folder: ``type``, ``size`` and others; None if there is none."""
        try:
            return answer(self.full, lambda store, path: store.info(path))
        except FileNotFoundError:
            return None

    def is_file(self) -> bool:
        """Whether it is the address of a file."""
        found = self.info()
        return found is not None and found["type"] == "file" and not self._is_page(found)

    def is_dir(self) -> bool:
        """Whether it is the address of a folder; on a web server, that of a page which may list one."""
        found = self.info()
        return found is not None and (found["type"] == "directory" or self._is_page(found))

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        return self.info() is not None

    def _is_page(self, found: dict[str, Any]) -> bool:
        return self.is_web and found.get("mimetype") == "text/html" and self.suffix not in (".html", ".htm")

    def lacks_bucket(self) -> bool:
        """Whether its bucket is not there; of stores without buckets it is not known."""
        try:
            return self.protocol in _BUCKETS and not Address(self._parts[0]).exists()
        except Unanswered:
            raise
        except InputError:  # a bucket may take files from those who may not look at it
            return False

    def read_bytes(self, start: int | None = None, end: int | None = None) -> bytes:
        """Return the content of the file, or its bytes from ``start`` to ``end``.

        Raises:
            InputError: There are fewer bytes, or a web server gives the whole file in place of a part.
        """
        found: bytes = answer(self.full, lambda store, path: store.cat_file(path, start=start, end=end))
        if start is not None and end is not None and len(found) != end - start:
            fault = f"gives {len(found):,} bytes where {end - start:,} are asked for"
            raise InputError(f"{self}: {fault}; its server may not read parts of files: copy the file to the disk")
        return found

    def open(self, mode: str = "r", **options: Any) -> Any:
        """Open the file to be read, as :meth:`pathlib.Path.open` does, from a copy on the disk."""
        return copy_of(self.full).open(mode, **options)

    def write(self, file: Path) -> None:
        """Store a file, which is then moved: it serves as the copy of what is stored. Stores show it when it is whole.

        Raises:
            InputError: It cannot be stored. The file stays where it is.
        """
        try:
            answer(self.full, lambda store, path: store.put_file(str(file), path))
        except FileNotFoundError as error:
            raise InputError(f"{self}: there is no such bucket or folder") from error
        adopt(file, self.full)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        try:
            answer(self.full, lambda store, path: store.rm_file(path))
        except FileNotFoundError:
            if not missing_ok:
                raise


#: Where a file or a folder is: on the disk or in a store.
Location = Path | Address


def located(text: str | Location) -> Location:
    """Return the path or the address that a person has typed; an address may stand in ``<>``.

    >>> located("data/birds"), str(located("https://host/bank.h5?signature=1"))
    (PosixPath('data/birds'), 'https://host/bank.h5')
    """
    if not isinstance(text, str):
        return text
    bracketed = BRACKETED.fullmatch(text)
    text = bracketed[1] if bracketed and is_address(bracketed[1]) else text
    return Address(text) if is_address(text) else Path(text)


def is_address(text: str | Location) -> bool:
    """Whether a text is an address: it begins with a protocol of fsspec and ``://``; another is a path.

    >>> [is_address(text) for text in ("s3://bucket/birds", "folder://data/birds", "c:/birds", "cub:birds@train")]
    [True, False, False, False]
    """
    if not isinstance(text, str):
        return isinstance(text, Address)
    found = _PROTOCOL.match(text)
    return found is not None and _is_known(found[1].lower())


@lru_cache
def _is_known(protocol: str) -> bool:
    from fsspec import available_protocols

    return protocol in available_protocols()


def local_copy(location: Location) -> Path:
    """Return a path, or a copy on the disk of the file at an address."""
    return location if isinstance(location, Path) else copy_of(location.full)


def working_file(out: Location, ending: str, before: str = "") -> Path:
    """Return the path of a file for the work on ``out``: beside it, or in the working directory for an address."""
    if isinstance(out, Path):
        return out.with_name(f"{before}{out.name}{ending}")
    return Path.cwd() / (f"{before}{out.name}.{hashlib.sha256(str(out).encode()).hexdigest()[:8]}{ending}")


def on_disk(path: str | Path, argument: str) -> Path:
    """Return the path of a directory of a training, which messages call ``argument``.

    Raises:
        InputError: It is an address.
    """
    if is_address(str(path)):
        raise InputError(
            f"{argument} {path}: is an address, but a run directory is on the disk, where its lock and its checkpoints "
            f"are; name a local one, and copy it from or to the address as a whole"
        )
    return Path(path)
