from __future__ import annotations

import io

import pytest
from rich.table import Table

from features.infrastructure.console import LiteralConsole, literal

#: What a name may hold, and how it is shown.
NAMES = {
    "\x1b[31mred": r"\x1b[31mred",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b2J": r"\x9b2J",
    "a\rb\x08": r"a\rb\x08",
    "caf\udce9": r"caf\xe9",
    "[red]a[/red] :bird:": "[red]a[/red] :bird:",
    "é 鳥 🐦": "é 鳥 🐦",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_name_cannot_change_the_screen(name, terminal):
    screen = io.StringIO()
    console = LiteralConsole(file=screen, force_terminal=terminal, color_system=None, width=200)
    console.print(f"first\nclass {name}", style="bold")
    assert screen.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "") == f"first\nclass {NAMES[name]}\n"


def test_what_is_no_text_is_printed_as_rich_prints_it():
    screen = io.StringIO()
    table = Table("head")
    table.add_row(literal("a\x1bb"))
    LiteralConsole(file=screen, width=40).print(table)
    assert "head" in screen.getvalue() and r"a\x1bb" in screen.getvalue()
