"""Figures of recorded results in a page: the role ``recorded``, and the directive ``results`` for tables.

The role has the file below ``benchmarks/results``, the keys down to a number, and its format:
``{recorded}`emd > ours, euclidean > seconds | .0f```. The format is that of Python; a share is written ``12.3 %``.
The format ``size`` writes bytes: ``2.71 GB``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from generated import Generated
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

#: Decimal units of bytes.
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@cache
def recorded(name: str) -> Any:
    """The content of a file of results, named without its ending."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def is_recorded(name: str) -> bool:
    """Whether there is a file of results of this name."""
    return (RESULTS / f"{name}.json").is_file()


def figure(text: str) -> str:
    """The figure that the text of the role names.

    Raises:
        ValueError: The file, a key or the format is wrong.
    """
    path, _, form = " ".join(text.split()).rpartition("|")
    keys = [key.strip() for key in path.split(" > ")]
    try:
        value = recorded(keys[0])
        for key in keys[1:]:
            value = value[int(key)] if isinstance(value, list) else value[key]
        return written(value, form.strip())
    except (KeyError, IndexError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"no recorded figure {text!r}: {error!r}") from error


def size(value: float) -> str:
    """A number of bytes in three digits, with a decimal prefix."""
    unit, name = next((row for row in _UNITS if value >= row[0]), (1, "bytes"))
    number = value / unit
    decimals = 0 if unit == 1 or number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{decimals}f}\N{NO-BREAK SPACE}{name}"


def written(value: Any, form: str) -> str:
    """A number in a format of Python, with a true minus sign and a space before a percent sign; or a :func:`size`."""
    if form == "size":
        return size(value)
    text = format(value, form)
    return text.replace("-", "−").replace("%", "\N{NO-BREAK SPACE}%")


class RecordedFigure(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        self.env.note_reread()
        try:
            return [nodes.Text(figure(self.text))], []
        except ValueError as error:
            message = self.inliner.reporter.error(str(error), line=self.lineno)
            return [], [message]


class Results(Generated):
    """A table of :mod:`result_tables` by its name, or a line that says that its benchmark is not finished."""

    required_arguments = 1

    def write(self) -> str:
        from result_tables import TABLES

        table = TABLES[self.arguments[0]]
        if not is_recorded(table.file):
            return f"*Not finished: the table appears here once `benchmarks/results/{table.file}.json` is recorded.*"
        return table.markdown()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_role("recorded", RecordedFigure())
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def plus_minus(mean: float, error: float | None, form: str = ".1f") -> str:
    """A mean and its error, kept in one line."""
    if error is None:
        return written(mean, form)
    return f"{written(mean, form)} ± {written(error, form.lstrip('+'))}".replace(" ", "\N{NO-BREAK SPACE}")
