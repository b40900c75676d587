"""What to say of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: As many names are listed beside the one that was meant, for the guess may be wrong.
_FEW = 12


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The known word that looks most like ``word``, whatever its capitals; None where none does.

    >>> nearest("foldr", ["folder", "cub"])
    'folder'
    """
    known = {one.lower(): one for one in words}
    match = difflib.get_close_matches(word.lower(), known, n=1)
    return known[match[0]] if match else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A suggestion to end a sentence about ``word`` with, or nothing: where all of ``words`` would be too many to list.

    >>> did_you_mean("foldr", ["folder", "cub"])
    '; did you mean folder?'
    """
    near = nearest(word, words)
    return f"; did you mean {near}?" if near else ""


def choice(word: str, words: Iterable[str]) -> str:
    """What to give instead of ``word``: the one that was meant, and all where they are few or none was meant.

    >>> choice("sofmax", ["softmax", "focal"]), choice("x", ["softmax", "focal"])
    ('did you mean softmax? (one of softmax, focal)', 'expected one of softmax, focal')
    """
    words = list(words)
    near, known = nearest(word, words), f"one of {', '.join(words)}"
    if near is None:
        return f"expected {known}"
    return f"did you mean {near}?" + (f" ({known})" if len(words) <= _FEW else "")
