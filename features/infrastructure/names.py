"""Names as text that can be stored and compared everywhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: Characters that move the cursor, end a line or change the screen.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Bytes of the longest name of a file, less those of endings.
_LONGEST = 200


def as_text(name: str) -> str:
    r"""Return a name without bytes that are not UTF-8 and without control characters: ``\xe9`` stands for such a byte.

    >>> as_text("caf\udce9"), as_text("a\x1b[31m")
    ('caf\\xe9', 'a\\x1b[31m')
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return :func:`class_name` of each name; nothing is done name by name where all of them are plain."""
    together = "".join(names)
    return tuple(names) if together.isascii() and together.isprintable() else tuple(map(class_name, names))


def class_name(name: str) -> str:
    """Return a class name as text in Unicode normal form C, so that one name is equal to itself in every file system.

    Folders that come from a Mac have decomposed names: an e and an accent instead of é.
    """
    return unicodedata.normalize("NFC", as_text(name))


def file_name(name: str) -> str:
    """Return a name as the name of a file in any folder: letters, digits, dots, dashes and underscores.

    >>> file_name("linear probe"), file_name("../a/b"), file_name("..")
    ('linear-probe', 'a-b', 'unnamed')
    """
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:60] or "unnamed"


def fault_in_file_name(name: str) -> str:
    """Return why a name cannot be that of a file or folder; empty if it can.

    >>> fault_in_file_name("birds"), fault_in_file_name("../birds")
    ('', 'it holds a slash')
    """
    if not name.strip():
        return "it is empty"
    if "/" in name or "\\" in name:
        return "it holds a slash"
    if name.strip(" .") == "":
        return "it has dots alone"
    if _CONTROL.search(name):
        return "it holds a control character"
    try:
        long = len(name.encode("utf-8", "surrogateescape")) > _LONGEST
    except UnicodeEncodeError:
        return "it holds half a character"
    return f"it has more than {_LONGEST} bytes" if long else ""
