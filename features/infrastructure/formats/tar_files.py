"""Tar files read member by member: one that was made to harm ends in an error, not in a loop or without memory."""

from __future__ import annotations

import tarfile
from typing import IO

#: Bytes of the largest header beyond the fixed one: a long name, or attributes.
_LONGEST_HEADER = 1 << 20
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Member(tarfile.TarInfo):
    """A member whose header is checked before it is followed, as later versions of Python do in part.

    Its errors are of a type that ends the reading; at others ``tarfile`` takes the archive to be at its end.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        if self.type in _HEADERS and not 0 <= self.size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        if self.size < 0:
            raise tarfile.ReadError("a size below 0")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _block(self, count: int) -> int:
        if count < 0:  # the reader would go back, and read the same members for ever
            raise tarfile.ReadError("a size below 0")
        return super()._block(count)  # type: ignore[misc]


def open_tar(file: IO[bytes], mode: str = "r:") -> tarfile.TarFile:
    """Open a tar file to be read; by default one that is not compressed.

    Raises:
        tarfile.TarError: It is none. Its members raise this too, where they are damaged.
    """
    return tarfile.open(fileobj=file, mode=mode, tarinfo=_Member)  # type: ignore[call-overload]


#: What reading the members of a damaged archive raises; numbers in attributes may be any text.
TAR_ERRORS = (tarfile.TarError, ValueError, OverflowError, EOFError, MemoryError, RecursionError, IndexError, TypeError)


def is_sparse(member: tarfile.TarInfo) -> bool:
    """Whether a member states holes, so that it may be far larger than the archive."""
    return bool(member.issparse() or any(name.startswith("GNU.sparse") for name in member.pax_headers))
