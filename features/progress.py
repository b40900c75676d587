"""Progress bars on standard error, with a rate and an estimate of the time left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

#: Everything meant for a person goes here; standard output is kept for results.
console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


class _RateColumn(ProgressColumn):
    """Finished items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2f}/s")


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar over ``total`` items; yields ``advance(n=1, note="")``.

    Off a terminal it prints one plain line at the end. Only rank 0 of a distributed run prints.

    >>> with progress("reading", 2) as advance:
    ...     advance(2)
    """
    if int(os.environ.get("RANK", "0")) != 0:
        yield lambda n=1, note="": None
        return
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
        last = {"note": ""}

        def advance(n: int = 1, note: str = "") -> None:
            last["note"] = note or last["note"]
            bar.update(task, advance=n, note=last["note"])

        yield advance
        state = bar.tasks[0]
    if not console.is_terminal:
        elapsed = state.elapsed or 0.0
        rate = f", {state.completed / elapsed:,.1f}/s" if elapsed > 0 else ""
        console.print(f"{description}: {int(state.completed)} of {total}{rate} {last['note']}".rstrip())
