"""CSV tables below one comment line that holds their provenance as JSON.

The user may edit them by hand: blank lines, comment lines, spaces around values, further columns and any order of the
columns are accepted.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any

from features.infrastructure.errors import InputError
from features.infrastructure.files import TEXT, atomic_file


def write_table(
    path: str | Path, provenance: Mapping[str, Any] | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a table, completely or not at all; floats in ``rows`` are written so that they read back bit for bit.

    Without ``provenance`` the table begins with its header, as any program reads it.
    """
    with (
        atomic_file(Path(path)) as aside,
        aside.open("w", newline="", **TEXT) as file,
    ):
        if provenance is not None:
            file.write(f"# {json.dumps(dict(provenance), ensure_ascii=False)}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)


def read_rows(
    path: str | Path, columns: Sequence[str], *, kind: str, make: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the stripped values by column of each row of a table.

    The header must hold ``columns`` once each; others are allowed. Messages call the file ``kind``, such as ``subset
    file``, and name the command ``make`` that makes such a file, if there is one.

    Raises:
        InputError: The file is missing, is not text or not CSV, lacks a column, or a row has too few or too many
            values.
    """
    header: list[str] = []
    for line, values in _rows(Path(path), kind, make):
        if not header:
            header = values
            missing = [name for name in columns if header.count(name) != 1]
            if missing:
                raise InputError(
                    f"{path} line {line}: column {missing[0]!r} must stand in the header once; "
                    f"expected {','.join(columns)}, found {','.join(header)}"
                )
            continue
        if len(values) != len(header):
            if _is_comment(values[0]):
                continue
            raise InputError(
                f"{path} line {line}: {len(values)} values for {len(header)} columns; "
                f"close every quote, and put quotes around a value that holds a comma"
            )
        yield line, dict(zip(header, values, strict=True))


def read_columns(path: str | Path, *, kind: str, make: str = "") -> tuple[str, ...]:
    """Return the header of a table, empty if it has none; see :func:`read_rows` for arguments and errors."""
    return tuple(next((values for _, values in _rows(Path(path), kind, make)), ()))


def read_provenance(path: str | Path, *, kind: str, make: str = "") -> dict[str, Any]:
    """Return a table's provenance, empty if the user removed it; see :func:`read_rows` for arguments and errors."""
    first = next((line for line in _lines(Path(path), kind, make) if line.strip()), "").strip()
    if first.startswith('"'):  # as a spreadsheet saves it
        first = next(csv.reader([first]))[0]
    try:
        found = json.loads(first.removeprefix("#")) if first.startswith("#") else {}
    except json.JSONDecodeError:
        return {}  # another comment
    return found if isinstance(found, dict) else {}


def _rows(path: Path, kind: str, make: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the stripped values of each row that is not blank, the header first."""
    lines = _lines(path, kind, make)
    skipped = 0
    for first in lines:
        if first.strip() and not _is_comment(first):
            break  # JSON is not CSV: the comment must not meet the CSV reader
        skipped += 1
    else:
        return
    # Not strict: a space may follow a closing quote, and a quote that is never closed shows as too few values.
    reader = csv.reader(chain([first], lines), skipinitialspace=True)
    line = skipped + 1
    try:
        for values in reader:
            values = [value.strip() for value in values]
            if any(values):
                yield line, values
            line = skipped + reader.line_num + 1  # the next row begins here: a quoted value may hold line ends
    except csv.Error as error:
        raise InputError(f"{path} line {line}: not a row of a CSV file ({error})") from error


def _lines(path: Path, kind: str, make: str) -> Iterator[str]:
    """Yield the lines of a text file with their line ends."""
    try:
        with path.open("rb") as file:
            binary = b"\0" in file.peek()  # known before its first line is taken for a header
            for line in TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""):
                if binary or "\0" in line:
                    raise InputError(f"{path}: not a readable {kind} (it is not text)")
                yield line
    except FileNotFoundError:
        raise InputError(f"{path}: no such {kind}{f'; make one with: {make}' if make else ''}") from None
    except OSError as error:
        raise InputError(f"{path}: not a readable {kind} ({error})") from error


def _is_comment(line: str) -> bool:
    """Whether a line begins with #, perhaps behind a quote that a spreadsheet added."""
    return line.lstrip().lstrip('"').startswith("#")
