"""The error for invalid input."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from typing import Any

from features.infrastructure.names import as_text
from features.infrastructure.storage.secrets import without_secrets

#: What the system says where a file cannot be written because there is no room for it, or no sound disk.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
#: Characters of the longest message; a value in it may be longer.
LONGEST = 2_000
#: How a message names an argument: by its Python name in backticks.
_ARGUMENT = re.compile(r"`([a-z][a-z0-9_]*)`")


class InputError(ValueError):
    """Invalid input: an argument, a file or an option that cannot be used.

    The message is one line that says what is wrong, where, and what to do. It names arguments by their Python names in
    backticks, as in ``"`min_count` -1: expected at least 0"``; the command line prints them as options and ends with
    status 2, without a traceback. Addresses in it lose their credentials and signatures, and what a file holds cannot
    change the screen.
    """

    def __init__(self, message: str) -> None:
        line = as_text(" ".join(message.split()))  # a path or a value may hold what a terminal obeys
        if len(line) > LONGEST:  # what to do stands at the end
            line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
        super().__init__(without_secrets(line))

    def on_command_line(self, positional: Collection[str] = ()) -> str:
        """Return the message with every argument as it is typed: ``--min-count`` for ``min_count``."""
        return as_typed(str(self), positional)


def as_typed(text: str, positional: Collection[str] = ()) -> str:
    """Turn the arguments of a text, in backticks, into options of the command line, or ``positional`` ones in capitals.

    >>> as_typed("`min_count` 3: no class of `source` has so many", ["source"])
    '--min-count 3: no class of SOURCE has so many'
    """

    def typed(match: re.Match[str]) -> str:
        name = match[1]
        return name.upper() if name in positional else flag(name)

    return _ARGUMENT.sub(typed, text)


def flag(name: str) -> str:
    """Return an argument as an option of the command line; a name that Python reserves has an underscore at its end.

    >>> flag("min_count"), flag("with_")
    ('--min-count', '--with')
    """
    return f"--{name.rstrip('_').replace('_', '-')}"


def difference(name: str, there: Any, asked: Any) -> str:
    """Return in which value a result that is there differs from the one that is asked for; None is no value.

    >>> difference("epochs", 30, None), difference("subset", None, "s.csv")
    ('epochs is 30, asked for without it', "subset is not given, asked for 's.csv'")
    """
    found = "not given" if there is None else repr(there)
    return f"{name} is {found}, asked for {'without it' if asked is None else repr(asked)}"
