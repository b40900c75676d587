"""Tables that say how they came about: CSV below one line that holds the provenance as JSON.

They are read back from what a person may have edited by hand: blank lines, comment lines, spaces around
values, further columns and any order of the columns are accepted.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from features.infrastructure.errors import InputError


def write_table(
    path: str | Path, provenance: Mapping[str, Any], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a table, whole or not at all.

    Args:
        path: The file; one that is there is replaced, folders that lack are made.
        provenance: What JSON can hold; it goes into the first line, after ``#``.
        columns: The header.
        rows: One value a column; floats are written so that they read back as they were.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")  # one name: what a killed process left is written over
    try:
        # surrogateescape: a file name that is not UTF-8 stays the bytes that the disk has
        with aside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(f"# {json.dumps(dict(provenance), ensure_ascii=False)}\n")
            table = csv.writer(file, lineterminator="\n")
            table.writerow(columns)
            table.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def read_rows(
    path: str | Path, columns: Sequence[str], *, kind: str, make: str
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table, one at a time: the number of the line, and the stripped values by column.

    Args:
        path: The file.
        columns: What must stand in the header, each once; others may.
        kind: What the file is, for messages, such as ``subset file``.
        make: The command that makes one.

    Raises:
        InputError: There is no such file, it is not text or not CSV, a column is missing, or a row has too few or
            too many values.
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
                continue  # a person's comment
            raise InputError(
                f"{path} line {line}: {len(values)} values for {len(header)} columns; "
                f"close every quote, and put quotes around a value that holds a comma"
            )
        yield line, dict(zip(header, values, strict=True))


def read_columns(path: str | Path, *, kind: str, make: str) -> tuple[str, ...]:
    """The header of a table; empty where there is none.

    Raises:
        InputError: There is no such file, or it is not text.
    """
    return tuple(next((values for _, values in _rows(Path(path), kind, make)), ()))


def read_provenance(path: str | Path, *, kind: str, make: str) -> dict[str, Any]:
    """The JSON object of a table's first comment line; empty where a person took it out.

    Raises:
        InputError: There is no such file, or it is not text.
    """
    first = next((line for line in _lines(Path(path), kind, make) if line.strip()), "").strip()
    if first.startswith('"'):  # as a spreadsheet saves it
        first = next(csv.reader([first]))[0]
    try:
        found = json.loads(first.removeprefix("#")) if first.startswith("#") else {}
    except json.JSONDecodeError:
        return {}  # a person's own comment
    return found if isinstance(found, dict) else {}


def _rows(path: Path, kind: str, make: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped values of each row, from the header on, without blank ones."""
    lines = _lines(path, kind, make)
    skipped = 0
    for first in lines:
        if first.strip() and not _is_comment(first):
            break  # JSON is not CSV: the comment must not meet the CSV reader
        skipped += 1
    else:
        return
    # Not strict: a space after a closing quote is a hand's doing, and a quote that is never closed shows
    # as a row of too few values.
    reader = csv.reader(chain([first], lines), skipinitialspace=True)
    line = skipped + 1
    try:
        for values in reader:
            values = [value.strip() for value in values]
            if any(values):
                yield line, values
            line = skipped + reader.line_num + 1  # where the next row begins: a quoted value may hold line ends
    except csv.Error as error:
        raise InputError(f"{path} line {line}: not a row of a CSV file ({error})") from error


def _lines(path: Path, kind: str, make: str) -> Iterator[str]:
    """The lines of a text file, their ends as they are."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            for line in file:
                if "\0" in line:
                    raise InputError(f"{path}: not a readable {kind} (it is not text)")
                yield line
    except FileNotFoundError:
        raise InputError(f"{path}: no such {kind}; make one with: {make}") from None
    except OSError as error:
        raise InputError(f"{path}: not a readable {kind} ({error})") from error


def _is_comment(line: str) -> bool:
    """A line that begins with #, in quotes where a spreadsheet saved it."""
    return line.lstrip().lstrip('"').startswith("#")
