"""Paths by patterns with ``{0..9}``, ``{a,b}``, ``*``, ``?`` and ``[…]``, with a bound on what a pattern stands for."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator

_BRACES = re.compile(r"\{([^{}]*)\}")
#: Paths that a pattern may stand for, and folders that are looked into for one.
MOST = 100_000
_MOST_FOLDERS = 100_000
#: Digits of a number in braces, and braces of a pattern.
_DIGITS, _MOST_BRACES = 18, 64


class TooMany(ValueError):
    """A pattern stands for too many paths; the message says how many are allowed."""


def expand_braces(pattern: str) -> Iterator[str]:
    """Yield all the words of a pattern with ``{0..9}`` or ``{a,b}``.

    >>> list(expand_braces("t-{08..10}.tar"))
    ['t-08.tar', 't-09.tar', 't-10.tar']

    Raises:
        TooMany: There are more than :data:`MOST`.
    """
    if pattern.count("{") > _MOST_BRACES:
        raise TooMany(f"a pattern has at most {_MOST_BRACES} braces")
    for number, word in enumerate(_expanded(pattern)):
        if number == MOST:
            raise TooMany(f"a pattern stands for at most {MOST:,} paths")
        yield word


def _expanded(pattern: str) -> Iterator[str]:
    match = _BRACES.search(pattern)
    if not match:
        yield pattern
        return
    head, tail = pattern[: match.start()], pattern[match.end() :]
    for word in _words(match[1]):
        yield from _expanded(f"{head}{word}{tail}")


def _words(inside: str) -> Iterator[str]:
    """The words that braces stand for."""
    first, dots, last = inside.partition("..")
    if not (dots and first.isdecimal() and last.isdecimal()):
        yield from inside.split(",")
        return
    if len(last) > _DIGITS:
        raise TooMany(f"a pattern stands for at most {MOST:,} paths")
    yield from (str(i).zfill(len(first)) for i in range(int(first), int(last) + 1))


def matching(pattern: str) -> list[str]:
    """Return the sorted paths that match a pattern with wildcards; each folder is looked into once, by its first path.

    As in a shell, a wildcard stands for a part of one name, and for none that begins with a dot.

    Raises:
        TooMany: More than 100,000 folders would be looked into.
    """
    parts = pattern.split("/")
    found = ["/" if pattern.startswith("/") else ""]
    for place, part in enumerate(parts):
        if not part:
            continue
        below: list[str] = []
        seen: set[tuple[int, int]] = set()
        for folder in found:
            below += _children(folder, part)
            if len(below) > _MOST_FOLDERS and place < len(parts) - 1:
                raise TooMany(f"it leads through more than {_MOST_FOLDERS:,} folders")
        if place < len(parts) - 1:
            below = [folder for folder in sorted(below) if _is_new(folder, seen)]
        found = below
    return sorted(found)


def _children(folder: str, part: str) -> list[str]:
    """The paths in a folder that match one part of a pattern."""
    if not glob.has_magic(part):
        path = os.path.join(folder, part)
        return [path] if os.path.lexists(path) else []
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    hidden = part.startswith(".")
    return [os.path.join(folder, name) for name in fnmatch.filter(names, part) if hidden or name[0] != "."]


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    """Whether a path is a folder that was not seen before, perhaps by way of a link."""
    try:
        status = os.stat(folder)
    except OSError:
        return False
    key = (status.st_dev, status.st_ino)
    new = os.path.isdir(folder) and key not in seen
    seen.add(key)
    return new
