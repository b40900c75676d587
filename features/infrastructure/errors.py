"""The one error that means "the person's input is wrong"."""

from __future__ import annotations


class InputError(ValueError):
    """What was given cannot be used.

    The message is one line that says what is wrong, where, and what to do. The command line prints
    it without a traceback and ends with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
