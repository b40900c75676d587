"""Text files of one entry a line, perhaps compressed, read with bounds: a file of few bytes cannot fill the memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from features.infrastructure.disk.regular_files import open_regular
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location

#: Characters of the longest line; a path has at most 4,096.
LONGEST_LINE = 1 << 24
#: What a compressed file may become, in times its size; lists of images become 5 to 30 times.
RATIO = 100
#: Bytes that any compressed file may become.
FREE = 1 << 20
#: What a text file in UTF-16 or UTF-32 begins with.
_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")


class _Unpacked(io.RawIOBase):
    """What a gzip file becomes; raises ``OSError`` as soon as that is out of proportion."""

    def __init__(self, file: BinaryIO) -> None:
        self._packed, self._file, self._size = file, gzip.GzipFile(fileobj=file), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._file.read1(len(buffer))
        self._size += len(part)
        if self._size > FREE + RATIO * self._packed.tell():
            raise OSError(f"it becomes more than {RATIO} times its size")
        buffer[: len(part)] = part
        return len(part)


def text_lines(path: Location, kind: str = "text file") -> Iterator[str]:
    """Yield the lines of a text file, which messages call ``kind``, with their line ends; ``.gz`` is unpacked.

    Bytes that are not UTF-8 become surrogates, as in the file names of :mod:`os`, so that such a path still opens.

    Raises:
        InputError: It is no regular file, not text in UTF-8, a damaged gzip file, or one that becomes more than
            :data:`RATIO` times its size; or a line has more than :data:`LONGEST_LINE` characters.
    """
    try:
        with open_regular(path, kind) as file:
            binary = io.BufferedReader(_Unpacked(file), 1 << 16) if path.suffix == ".gz" else file
            if binary.peek(4)[:4].startswith(_MARKS):  # type: ignore[attr-defined]
                raise InputError(f"{path} is in UTF-16; save it as UTF-8")
            text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape")
            while line := text.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise InputError(f"{path} has a line that is longer than {LONGEST_LINE:,} characters")
                if "\0" in line:
                    raise InputError(f"{path} is no text file in UTF-8; name another one, or save it as UTF-8")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}; copy it anew") from error
