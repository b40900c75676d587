"""Progress bars on standard error, with a rate and an estimate of the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from features.infrastructure.names import as_text
from features.infrastructure.processes import rank


class LiteralConsole(Console):
    """A console that prints text as it is: no markup, no emoji, and no control character but the line end.

    A name out of a dataset cannot move the cursor or change the screen; see
    :func:`features.infrastructure.names.as_text`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(literal(one) if isinstance(one, str) else one for one in objects), **options)


def literal(text: str) -> str:
    r"""Return a text of one or more lines as a terminal can show it.

    >>> literal("a\x1b[31m\nb")
    'a\\x1b[31m\nb'
    """
    return "\n".join(map(as_text, text.split("\n")))


def as_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Return rows below their heads; a column whose head begins with ``>`` is aligned to the right.

    A number has four decimals, and None is a dash.
    """
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else literal(str(value))


#: For messages; standard output is kept for results. Of several processes, only rank 0 prints. In a notebook they go to
#: standard error too, as plain lines: Rich would make each an output of its own, and a bar would print at each refresh,
#: because ipykernel says that its streams are terminals.
console = LiteralConsole(
    stderr=True,
    soft_wrap=True,
    quiet=rank() != 0,
    force_jupyter=False,
    force_terminal=False if "ipykernel" in sys.modules else None,
)

#: Seconds between two lines if standard error is not a terminal.
PLAIN_SECONDS = 60.0


@cache
def say_once(line: str) -> None:
    """Print a line the first time only: a command may read the same thing several times."""
    console.print(line)


@cache
def warn_once(line: str, content: str = "") -> None:
    """Print a line once for each ``content`` that it is about, also where notes are not wanted.

    It is for what may give another result than the user expects.
    """
    if rank() == 0:
        quiet, console.quiet = console.quiet, False
        try:
            console.print(line)
        finally:
            console.quiet = quiet


class _RateColumn(ProgressColumn):
    """Finished items per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2f}/s")


#: What was said in each of the blocks of :func:`repetitions_left_out` that are entered.
_SAID: list[set[str]] = []


@contextmanager
def repetitions_left_out() -> Iterator[None]:
    """Within this block, a note that is the same for many steps is printed for the first of them alone.

    Such a note is one whose printer asks :func:`is_repetition`.
    """
    _SAID.append(set())
    try:
        yield
    finally:
        _SAID.pop()


def is_repetition(note: str) -> bool:
    """Return whether the innermost block of :func:`repetitions_left_out` has asked of this note; outside, it has not.

    >>> with repetitions_left_out():
    ...     is_repetition("by default lr 0.1"), is_repetition("by default lr 0.1")
    (False, True)
    """
    if not _SAID:
        return False
    known = note in _SAID[-1]
    _SAID[-1].add(note)
    return known


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """Show a progress bar over ``total`` items; yield ``advance(n=1, note="")``.

    If standard error is not a terminal, it prints a plain line every minute, and one at the end. Of several processes,
    only rank 0 prints.

    >>> with progress("reading", 2) as advance:
    ...     advance(2)
    """
    if rank() != 0:
        yield lambda n=1, note="": None
        return
    description = literal(description)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total, note="")
        state, last, printed = bar.tasks[0], "", 0.0

        def advance(n: int = 1, note: str = "") -> None:
            nonlocal last, printed
            last = note or last
            bar.update(task, advance=n, note=last)
            if not console.is_terminal and (state.elapsed or 0.0) - printed > PLAIN_SECONDS:
                printed = state.elapsed or 0.0
                say()

        def say() -> None:
            elapsed = state.elapsed or 0.0
            rate = f", {state.completed / elapsed:,.1f}/s" if elapsed > 0 else ""
            console.print(f"{description}: {int(state.completed)} of {total}{rate} {last}".rstrip())

        yield advance
    if not console.is_terminal:
        say()
