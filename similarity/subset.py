"""The subset file: which source classes were chosen, for whom, and how.

CSV with the columns ``source,class,count,rank,distance,targets``, below one comment line that holds
the provenance as JSON. It is read back from what a person may have edited by hand.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import InputError
from features.table import write_table

COLUMNS = ("source", "class", "count", "rank", "distance", "targets")


@dataclass(frozen=True)
class SubsetRow:
    """One chosen class.

    Attributes:
        source: Dataset spec of the bank that it comes from.
        class_name: The class (column ``class``).
        count: Images of it.
        rank: Its place in the ranking, from 1; the best one where several targets asked for it.
        distance: What it was ranked by, in the units of the geometry.
        targets: Dataset specs of the targets that asked for it (joined by ``;`` in the file).
    """

    source: str
    class_name: str
    count: int
    rank: int
    distance: float
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Subset:
    """Chosen source classes.

    Attributes:
        rows: The classes, best first.
        provenance: Banks, strategy, geometry, sizes: what JSON can hold.
    """

    rows: tuple[SubsetRow, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sources(self) -> tuple[str, ...]:
        """Dataset specs of the sources, each once, in order of appearance."""
        return tuple(dict.fromkeys(row.source for row in self.rows))

    def classes_of(self, source: str) -> tuple[str, ...]:
        """Names of the classes chosen from one source, best first; none where it gave none."""
        return tuple(row.class_name for row in self.rows if row.source == source)

    def to_json(self) -> dict[str, Any]:
        """What ``transfer select --json`` prints."""
        return {
            "selected": [
                {"source": row.source, "class": row.class_name, "rank": row.rank, "distance": row.distance}
                for row in self.rows
            ]
        }

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            InputError: A name begins or ends with a space or holds a line end, which an edited file cannot keep.
        """
        for row in self.rows:
            for name in (row.source, row.class_name, *row.targets):
                if name != name.strip() or len(name.splitlines()) > 1:
                    raise InputError(
                        f"{path}: the name {name!r} cannot stand in a subset file, because of the space at its end or "
                        f"the line end in it; rename it in the dataset"
                    )
        rows = (
            (row.source, row.class_name, row.count, row.rank, float(row.distance), ";".join(row.targets))
            for row in self.rows
        )
        write_table(path, self.provenance, COLUMNS, rows)

    @classmethod
    def read(cls, path: str | Path) -> Subset:
        """Read a subset file, as written or as edited.

        Blank lines, comment lines, spaces around values, further columns and any order of the columns
        are accepted. Rows come back by rank, as they stand in the file where ranks are equal.

        Raises:
            InputError: There is no such file, a column is missing, a row is wrong or occurs twice, or
                there is no row.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        except FileNotFoundError:
            raise InputError(f"{path}: no such subset file; make one with: transfer select --out {path}") from None
        except OSError as error:
            raise InputError(f"{path}: not a readable subset file ({error})") from error
        if "\0" in text:
            raise InputError(f"{path}: not a readable subset file (it is not text)")
        header: list[str] = []
        first_line: dict[tuple[str, str], int] = {}
        rows = []
        for line, values in _table(text, path):
            if not header:
                header = values
                missing = [name for name in COLUMNS if header.count(name) != 1]
                if missing:
                    raise InputError(
                        f"{path} line {line}: column {missing[0]!r} must stand in the header once; "
                        f"expected {','.join(COLUMNS)}, found {','.join(header)}"
                    )
                continue
            if len(values) != len(header):
                if _is_comment(values[0]):
                    continue  # a person's comment
                raise InputError(
                    f"{path} line {line}: {len(values)} values for {len(header)} columns; "
                    f"close every quote, and put quotes around a value that holds a comma"
                )
            row = _row(dict(zip(header, values, strict=True)), f"{path} line {line}")
            earlier = first_line.setdefault((row.source, row.class_name), line)
            if earlier != line:
                raise InputError(
                    f"{path} line {line}: class {row.class_name!r} of {row.source} stands on line {earlier} already; "
                    f"remove one of them"
                )
            rows.append(row)
        if not rows:
            raise InputError(f"{path}: no class in it; expected rows below the header {','.join(COLUMNS)}")
        return cls(tuple(sorted(rows, key=lambda row: row.rank)), _provenance(text))


def _table(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped values of each row, from the header on, without blank ones."""
    lines = io.StringIO(text, newline="")
    skipped = 0
    start = lines.tell()
    while (read := lines.readline()) and (not read.strip() or _is_comment(read)):
        skipped, start = skipped + 1, lines.tell()  # JSON is not CSV: the comment must not meet the CSV reader
    lines.seek(start)
    # Not strict: a space after a closing quote is a hand's doing, and a quote that is never closed shows
    # as a row of too few values.
    reader = csv.reader(lines, skipinitialspace=True)
    line = skipped + 1
    try:
        for values in reader:
            values = [value.strip() for value in values]
            if any(values):
                yield line, values
            line = skipped + reader.line_num + 1  # where the next row begins: a quoted value may hold line ends
    except csv.Error as error:
        raise InputError(f"{path} line {line}: not a row of a CSV file ({error})") from error


def _is_comment(line: str) -> bool:
    """A line that begins with #, in quotes where a spreadsheet saved it."""
    return line.lstrip().lstrip('"').startswith("#")


def _provenance(text: str) -> dict[str, Any]:
    """The JSON object of the first comment line; empty where a person took it out."""
    first = next((line for line in text.split("\n") if line.strip()), "").strip()
    if first.startswith('"'):
        first = next(csv.reader([first]))[0]
    try:
        found = json.loads(first.removeprefix("#")) if first.startswith("#") else {}
    except json.JSONDecodeError:
        return {}  # a person's own comment
    return found if isinstance(found, dict) else {}


def _row(values: dict[str, str], where: str) -> SubsetRow:
    """One row from its values by column."""
    for name in ("source", "class"):
        if not values[name]:
            raise InputError(f"{where}: {name} is empty")
    distance = _number(float, values["distance"])
    if distance is None or not math.isfinite(distance):
        raise InputError(f"{where}: distance must be a number, got {values['distance']!r}")
    whole_numbers = {}
    for name in ("count", "rank"):
        number = _number(int, values[name])
        if number is None or number < 1:
            raise InputError(f"{where}: {name} must be a whole number of at least 1, got {values[name]!r}")
        whole_numbers[name] = int(number)
    targets = tuple(target.strip() for target in values["targets"].split(";") if target.strip())
    return SubsetRow(values["source"], values["class"], **whole_numbers, distance=distance, targets=targets)


def _number(kind: type[int] | type[float], text: str) -> float | None:
    try:
        return None if "_" in text else kind(text)  # which Python allows between digits
    except ValueError:
        return None
