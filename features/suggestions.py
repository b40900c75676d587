"""What to say of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
    """What to give instead of ``word``: the one that was meant, or one of all.

    >>> choice("sofmax", ["softmax", "focal"]), choice("x", ["softmax", "focal"])
    ('did you mean softmax?', 'expected one of softmax, focal')
    """
    words = list(words)
    near = nearest(word, words)
    return f"did you mean {near}?" if near else f"expected one of {', '.join(words)}"
