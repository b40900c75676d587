"""Seals: the CRC-32 and the length of a file of features in the file itself, where others see a comment or metadata.

A program that adds a column may keep the metadata. A file of another length is therefore taken for one that has no
seal, and is left to the checksums of its format: of the members of ``.npz``, and of the pages of Parquet.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

#: What a seal is called, and its digits while those of the file are not known; the seal is about the file with them.
NAME, UNKNOWN = "transfer.crc32", b"0" * 20
#: Two bytes are between the name and the digits: of a text ``": "``, or of Thrift, which Parquet uses.
_SEAL = re.compile(re.escape(NAME.encode()) + rb"[^0-9a-f]{2}([0-9a-f]{8})([0-9a-f]{12})", re.DOTALL)
_BLOCK = 2**22


def seal(path: Path, start: int) -> None:
    """Write the digits of the seal that is in a file from byte ``start`` on."""
    found = _find(path, start)
    assert found is not None
    with path.open("r+b") as file:
        file.seek(found[0])
        file.write(b"%08x%012x" % (_checksum(path, found[0]), path.stat().st_size))


def is_whole(path: Path, start: int, *, expected: bool) -> bool:
    """Whether a file is the one that was sealed, or has no seal. One is sought from byte ``start`` on.

    With ``expected``, a file that has no seal is not whole.
    """
    found = _find(path, start)
    if found is None:
        return not expected
    place, crc32, length = found
    return length != path.stat().st_size or crc32 == _checksum(path, place)


def _find(path: Path, start: int) -> tuple[int, int, int] | None:
    """Where the digits of a seal are, and its CRC-32 and length; None if there is none."""
    with path.open("rb") as file:
        file.seek(start)
        found = _SEAL.search(file.read())
    return None if found is None else (start + found.start(1), int(found[1], 16), int(found[2], 16))


def _checksum(path: Path, place: int) -> int:
    """Return the CRC-32 of a file whose seal has its digits at ``place``."""
    found = 0
    with path.open("rb") as file:
        while left := min(place - file.tell(), _BLOCK):
            found = zlib.crc32(file.read(left), found)
        found = zlib.crc32(UNKNOWN, found)
        file.seek(place + len(UNKNOWN))
        while block := file.read(_BLOCK):
            found = zlib.crc32(block, found)
    return found
