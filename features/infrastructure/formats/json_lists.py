"""The lists of a large JSON object, read entry by entry: of each entry, only what is wanted is kept.

The first entry that is wrong ends the reading, so that a large file of something else is refused at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Kept = TypeVar("Kept")

#: What stands between two values of JSON.
_SPACE, _COLON, _COMMA = (re.compile(rf"[ \t\n\r]*{sign}[ \t\n\r]*") for sign in ("", ":", ","))
_value_at = json.JSONDecoder().raw_decode


def read_lists(content: bytes, keep: Mapping[str, Callable[[int, Any], Kept]]) -> dict[str, list[Kept]]:
    """Return the named lists of a JSON object in UTF-8, UTF-16 or UTF-32.

    Args:
        content: The file.
        keep: Name of a list → what is kept of an entry, given its number, from 0, and its content. An error that it
            raises ends the reading.

    Returns:
        The lists that are there. A name with another value is left out, as are all names of JSON that is no object.

    Raises:
        ValueError: The object is not JSON, or has one of the lists twice, or there is no value at all. Of a list or
            another value, what follows its beginning is not read, and thus not checked.
        RecursionError: A value is nested too deep.

    >>> read_lists(b'{"a": [3, 4], "b": {"c": []}}', {"a": lambda number, entry: 10 * entry, "b": lambda *_: 0})
    {'a': [30, 40]}
    """
    text = content.decode(json.detect_encoding(content), "surrogatepass")
    found: dict[str, list[Kept]] = {}
    place = _past(_SPACE, text, 0)
    if not text.startswith("{", place):
        if not text.startswith("[", place):
            _value_at(text, place)  # raises if it is no value
        return found

    more, place = _begin(text, place, "}")
    while more:
        if not text.startswith('"', place):
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, place)
        name, place = _value_at(text, place)
        place = _past(_COLON, text, place)
        if name in keep and text.startswith("[", place):
            if name in found:
                raise ValueError(f"the list {name!r} is given twice")
            found[name], place = _entries(text, place, keep[name])
        else:
            place = _value_at(text, place)[1]
        more, place = _after(text, place, "}")
    if place < len(text):
        raise json.JSONDecodeError("Extra data", text, place)
    return found


def _entries(text: str, place: int, keep: Callable[[int, Any], Kept]) -> tuple[list[Kept], int]:
    """What is kept of the entries of the list at ``place``, and the place after it."""
    found: list[Kept] = []
    more, place = _begin(text, place, "]")
    while more:
        entry, place = _value_at(text, place)
        found.append(keep(len(found), entry))
        more, place = _after(text, place, "]")
    return found, place


def _begin(text: str, place: int, end: str) -> tuple[bool, int]:
    """Whether the list or the object at ``place`` has a part, and the place of the first part, or that after all."""
    place = _past(_SPACE, text, place + 1)
    empty = text.startswith(end, place)
    return not empty, _past(_SPACE, text, place + 1) if empty else place


def _after(text: str, place: int, end: str) -> tuple[bool, int]:
    """Whether a further part follows at ``place``, and its place, or the place after the list or the object."""
    if comma := _COMMA.match(text, place):
        return True, comma.end()
    place = _past(_SPACE, text, place)
    if not text.startswith(end, place):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
    return False, _past(_SPACE, text, place + 1)


def _past(pattern: re.Pattern[str], text: str, place: int) -> int:
    """The place after what stands between two values."""
    found = pattern.match(text, place)
    if found is None:
        raise json.JSONDecodeError("Expecting ':' delimiter", text, place)
    return found.end()
