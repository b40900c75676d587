"""Names as text that can be stored and compared everywhere."""

from __future__ import annotations

import unicodedata


def as_text(name: str) -> str:
    r"""Return a name without bytes that are not UTF-8, which become ``\xe9`` and the like.

    >>> as_text("caf\udce9")
    'caf\\xe9'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def class_name(name: str) -> str:
    """Return a class name as text in Unicode normal form C, so that one name is equal to itself in every file system.

    Folders that come from a Mac have decomposed names: an e and an accent instead of é.
    """
    return unicodedata.normalize("NFC", as_text(name))
