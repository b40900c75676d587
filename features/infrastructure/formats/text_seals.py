"""A digest in a text file of everything else in it, by which a reader notices that a byte has changed.

The digest stands at the beginning: ``# {"sha256": "…"`` in a table, ``{"sha256": "…"`` in JSON. It is the SHA-256 of
the file with zeros in its place. A mark at the beginning of UTF-8 and the kind of the line ends do not count, because
editors and version control change them.

A person may edit a sealed file: what it says then is used, and a line says that it has changed. Files of earlier
versions have no seal, and nothing is said of them.
"""

from __future__ import annotations

import hashlib
import re
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

from features.infrastructure.console import warn_once

#: The name of the digest, and what stands in its place while it is computed.
SEAL, UNSEALED = "sha256", "0" * 64
_STATED = re.compile(rb"[^0-9A-Za-z]{0,6}\{[^0-9A-Za-z]{1,8}sha256[^0-9A-Za-z]{1,8}([0-9a-f]{64})(?![0-9A-Za-z])")
#: A seal of which a byte has changed.
_DAMAGED = re.compile(
    rb"[^0-9A-Za-z]{0,6}\{[^0-9A-Za-z]{1,8}(sha256|\S{0,8}[^0-9A-Za-z]{1,8}[0-9a-f]{30}|\S{0,24}?[0-9a-f]{30})"
)
_BOM = b"\xef\xbb\xbf"
#: Bytes that are read at once.
_BLOCK = 1 << 20


class Seal:
    """The seal of a file that is given block by block, the first of at least 256 bytes or whole.

    Of a file without a seal no digest is computed.
    """

    def __init__(self) -> None:
        self._digest, self._held, self._stated = hashlib.sha256(), b"", b""
        self._begun = self._damaged = False

    def update(self, block: bytes) -> None:
        if not self._begun and block:
            self._begun = True
            block = block.removeprefix(_BOM)
            if found := _STATED.match(block):
                self._stated = found[1]
                block = block[: found.start(1)] + UNSEALED.encode() + block[found.end(1) :]
            else:
                self._damaged = _DAMAGED.match(block) is not None
        if not self._stated and not self._damaged:
            return
        block = self._held + block
        self._held = b"\r" if block.endswith(b"\r") else b""  # perhaps the first half of a line end
        self._digest.update(block[: len(block) - len(self._held)].replace(b"\r\n", b"\n"))

    def hexdigest(self) -> str:
        digest = self._digest.copy()
        digest.update(self._held)
        return digest.hexdigest()

    @property
    def broken(self) -> bool:
        """Whether the file has changed since it was sealed, as far as it tells; False for one without a seal."""
        return self._damaged or (self._stated != b"" and self._stated.decode() != self.hexdigest())


class SealedReader(RawIOBase):
    """A binary file whose seal is checked while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.seal = file, Seal()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        self.seal.update(block)
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def seal(path: Path) -> None:
    """Put the digest of a file into the place that :data:`UNSEALED` keeps for it."""
    seal_ = Seal()
    with path.open("r+b") as file:
        head = file.read(_BLOCK)
        place = head.index(UNSEALED.encode())
        block = head
        while block:
            seal_.update(block)
            block = file.read(_BLOCK)
        file.seek(place)
        file.write(seal_.hexdigest().encode())


def say_if_changed(path: object, seal_: Seal, maker: str = "") -> None:
    """Say that a file which was read has changed since ``maker``, such as ``transfer select``, wrote it."""
    if seal_.broken:
        wrote = f"`{maker}` wrote it" if maker else "it was written"
        warn_once(f"{path}: changed since {wrote}; what it says now is used", seal_.hexdigest())
