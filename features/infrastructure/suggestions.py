"""Suggestions for a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Up to this many names are listed beside the suggestion, because the guess may be wrong.
_FEW = 12


def _nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the known word that is most like ``word``, ignoring case; None if none is."""
    known = {one.lower(): one for one in words}
    match = difflib.get_close_matches(word.lower(), known, n=1)
    return known[match[0]] if match else None


def did_you_mean(word: str, words: Iterable[str], before: str = "") -> str:
    """Return the end of a sentence that suggests one of ``words``, or an empty text; for words too many to list.

    The suggestion is typed behind ``before``, such as the dashes of an option.

    >>> did_you_mean("foldr", ["folder", "cub"])
    '; did you mean folder?'
    """
    near = _nearest(word, words)
    return f"; did you mean {before}{near}?" if near else ""


def choice(word: str, words: Iterable[str]) -> str:
    """Return what to give instead of ``word``: the nearest of ``words``, and all of them if few or if none is near.

    >>> choice("sofmax", ["softmax", "focal"]), choice("x", ["softmax", "focal"])
    ('did you mean softmax? (one of softmax, focal)', 'expected one of softmax, focal')
    """
    words = list(words)
    near, known = _nearest(word, words), f"one of {', '.join(words)}"
    if near is None:
        return f"expected {known}"
    return f"did you mean {near}?" + (f" ({known})" if len(words) <= _FEW else "")
