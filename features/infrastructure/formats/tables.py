"""CSV tables below one comment line that holds their provenance as JSON.

The user may edit them by hand: blank lines, comment lines, spaces around values, further columns and any order of the
columns are accepted. The provenance begins with a digest of the file
(:mod:`features.infrastructure.formats.text_seals`), so that a reader says if a file has changed since it was written.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BufferedReader, TextIOWrapper
from itertools import chain
from typing import Any

from features.infrastructure.console import warn_once
from features.infrastructure.disk.files import TEXT, atomic_file
from features.infrastructure.disk.regular_files import open_regular
from features.infrastructure.errors import InputError
from features.infrastructure.formats.text_seals import SEAL, UNSEALED, SealedReader, say_if_changed, seal
from features.infrastructure.provenance import versions
from features.infrastructure.storage.addresses import Location, located
from features.infrastructure.storage.secrets import without_secrets

#: Characters of the longest line, which is that of the provenance.
LONGEST_LINE = 1 << 26
#: Text that a spreadsheet would run as a formula, perhaps behind apostrophes; a number is none.
_FORMULA = re.compile(r"'*([=@\t\r]|[+-](?!\d+(\.\d*)?([eE][+-]?\d+)?$))")
#: Key of a provenance for the versions of the packages behind the table; reading leaves it out, as the digest.
VERSIONS = "versions"
#: How the line of a provenance looks, also one that is damaged.
_JSON = re.compile(r"""[{}]|["']\s*:""")


def write_table(
    path: str | Location, provenance: Mapping[str, Any] | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a table, completely or not at all; floats in ``rows`` are written so that they read back bit for bit.

    Without ``provenance`` the table begins with its header, as any program reads it. Addresses in it lose credentials
    and signatures. Text that a spreadsheet would run as a formula, such as ``=1+1``, has an apostrophe before it, which
    reading takes away.
    """
    with atomic_file(located(path)) as aside:
        with aside.open("w", newline="", **TEXT) as file:
            if provenance is not None:
                head = {SEAL: UNSEALED} | dict(provenance) | {VERSIONS: versions()}
                file.write(without_secrets(f"# {json.dumps(head, ensure_ascii=False)}\n"))
            table = csv.writer(file, lineterminator="\n")
            table.writerow(columns)
            table.writerows([_literal(value) for value in row] for row in rows)
        if provenance is not None:
            seal(aside)  # in a second pass: a digest of each row would take longer than writing it


def read_rows(
    path: str | Location, columns: Sequence[str], *, kind: str, make: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the stripped values by column of each row of a table.

    The header must hold ``columns`` once each; others are allowed. Messages call the file ``kind``, such as ``subset
    file``, and name the command ``make`` that makes such a file, if there is one. A line on standard error says at the
    end if the file has changed since it was written.

    Raises:
        InputError: The file is missing, is not text or not CSV, lacks a column, or a row has too few or too many
            values.
    """
    header: list[str] = []
    for line, values in _rows(located(path), kind, make):
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
    if columns and not header:
        advice = f"make one with: {make}" if make else "restore it from a copy"
        raise InputError(f"{path}: not a readable {kind} (it is empty; expected {','.join(columns)}); {advice}")


def read_columns(path: str | Location, *, kind: str, make: str = "") -> tuple[str, ...]:
    """Return the header of a table, empty if it has none; see :func:`read_rows` for arguments and errors."""
    return tuple(next((values for _, values in _rows(located(path), kind, make)), ()))


def read_provenance(path: str | Location, *, kind: str, make: str = "") -> dict[str, Any]:
    """Return a table's provenance, empty if the user removed it; see :func:`read_rows` for arguments and errors."""
    first = next((line for line in _lines(located(path), kind, make) if line.strip()), "").strip()
    if first.startswith('"'):  # as a spreadsheet saves it
        first = next(csv.reader([first]))[0]
    if not first.startswith("#"):
        return {}
    try:
        found = json.loads(first.removeprefix("#"))
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return {name: value for name, value in found.items() if name not in (SEAL, VERSIONS)}
    if _JSON.search(first):  # not another comment
        warn_once(f"{path}: its first line, which says what it was made of, is damaged; it is read without it", first)
    return {}


def _rows(path: Location, kind: str, make: str) -> Iterator[tuple[int, list[str]]]:
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
            values = [_unquoted(value.strip()).strip() for value in values]
            if any(values):
                yield line, values
            line = skipped + reader.line_num + 1  # the next row begins here: a quoted value may hold line ends
    except csv.Error as error:  # such as a value of more than 131,072 letters, which a quote that stays open makes
        raise InputError(f"{path} line {line}: not a row of a CSV file ({error})") from error


def _literal(value: Any) -> Any:
    """Return a value of a table with an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unquoted(value: str) -> str:
    """Undo :func:`_literal`."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


def _lines(path: Location, kind: str, make: str) -> Iterator[str]:
    """Yield the lines of a text file with their line ends; say at the end if it has changed since it was written."""
    try:
        with BufferedReader(SealedReader(open_regular(path, kind, make)), 1 << 16) as file:
            binary = b"\0" in file.peek()  # known before its first line is taken for a header
            text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
            while line := text.readline(LONGEST_LINE):
                if binary or "\0" in line:
                    raise InputError(f"{path}: not a readable {kind} (it is not text)")
                if len(line) == LONGEST_LINE:
                    raise InputError(f"{path}: not a readable {kind} (a line has more than {LONGEST_LINE:,} letters)")
                yield line
            say_if_changed(path, file.raw.seal, _command(make))
    except OSError as error:
        raise InputError(f"{path}: not a readable {kind} ({error})") from error


def _command(make: str) -> str:
    """The command of a command line, such as ``transfer select``; empty for none."""
    return " ".join(make.split()[:2])


def _is_comment(line: str) -> bool:
    """Whether a line begins with #, perhaps behind a quote that a spreadsheet added."""
    return line.lstrip().lstrip('"').startswith("#")
