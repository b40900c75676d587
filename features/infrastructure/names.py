"""Names as text that can be stored and compared everywhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

#: Characters that move the cursor, end a line or change the screen; that turn the direction of the text around them; or
#: that are not seen, so that two names look alike. Halves of a pair of UTF-16 are no characters.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\u2028\u2029"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\ud800-\udfff"
)
#: Characters that join letters or choose their form, which many scripts and pictures need, but nothing needs at the
#: beginning or behind ASCII, except that a digit has a form for a key. The letters of flags stand behind a flag.
_JOINERS, _TAGS = "\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef", "\U000e0000-\U000e007f"
_ESCAPED = re.compile(
    f"[{_HIDDEN}]|(?<![^\x00-\x7f{_HIDDEN}{_TAGS}])(?!(?<=[0-9#*])\ufe0f\u20e3)[{_JOINERS}]+"
    f"|(?<![\U0001f3f4{_TAGS}])[{_TAGS}]+"
)
#: Halves of a pair that stand for no byte.
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
#: Bytes of the longest name of a file, less those of endings.
_LONGEST = 200


def as_text(name: str) -> str:
    r"""Return a name as it can be stored, printed and told from others: ``\xe9`` stands for a byte that is not UTF-8.

    Such escapes also stand for control characters, for those that turn the direction of text, and for those that are
    not seen. Equal names have equal texts.

    >>> as_text("caf\udce9"), as_text("a\x1b[31m"), as_text("\u202etac")
    ('caf\\xe9', 'a\\x1b[31m', '\\u202etac')
    """
    text = without_halves(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _ESCAPED.sub(_escape, text)


def without_halves(name: str) -> str:
    """Return a name with escapes for halves of a pair of UTF-16, which no encoding has; those for bytes stay."""
    return _HALVES.sub(_escape, name)


def as_bytes(text: str) -> bytes:
    r"""Return a text as UTF-8; bytes of file names that are not UTF-8 are kept, and halves of a pair become escapes.

    >>> as_bytes("caf\udce9"), as_bytes("x\ud800")
    (b'caf\xe9', b'x\\ud800')
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return without_halves(text).encode("utf-8", "surrogateescape")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def duplicate(names: Iterable[str]) -> str | None:
    """Return the first name that stands twice among some; None if there is none."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return :func:`class_name` of each name; nothing is done name by name where all of them are plain."""
    together = "".join(names)
    return tuple(names) if together.isascii() and together.isprintable() else tuple(map(class_name, names))


def class_name(name: str) -> str:
    """Return a class name as text in Unicode normal form C, so that one name is equal to itself in every file system.

    Folders that come from a Mac have decomposed names: an e and an accent instead of é.
    """
    return unicodedata.normalize("NFC", as_text(unicodedata.normalize("NFC", name)))  # an escape may take an accent


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
    if _ESCAPED.search(name):
        return "it holds a control character"
    try:
        long = len(name.encode("utf-8", "surrogateescape")) > _LONGEST
    except UnicodeEncodeError:
        return "it holds half a character"
    return f"it has more than {_LONGEST} bytes" if long else ""
