"""The screen: tables, and the commands that follow."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from features.infrastructure.console import LiteralConsole, as_table
from features.infrastructure.console import console as notes
from features.infrastructure.storage.secrets import without_secrets

console = LiteralConsole()
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = 10_000  # lines of a pipe or a file are not folded


def say(line: str) -> None:
    """Print a line that holds paths or commands: it is not folded, so that it can be copied. It has no secrets."""
    console.print(without_secrets(line), soft_wrap=True)


def show_page(path: Any) -> None:
    """Print where the page of a result is; a browser opens it."""
    say(f"page: {path}")


def show_next(*lines: str) -> None:
    """Print the commands that follow, if any; like notes, they are not printed with ``--quiet``."""
    if notes.quiet:
        return
    if lines:
        console.print("\nnext:", style="dim")
    for line in lines:
        say(f"  {line}")


def show_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print rows below their heads; a column whose head begins with ``>`` is aligned to the right."""
    console.print(as_table(columns, rows))
