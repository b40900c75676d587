"""The subset file, a CSV table: which source classes were chosen, for which targets, and how."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import read_provenance, read_rows, write_table
from features.infrastructure.names import class_name
from features.infrastructure.storage.addresses import Location

COLUMNS = ("source", "class", "count", "rank", "distance", "weight", "targets")
#: Key of a subset's provenance for the directory that relative paths of its sources start from.
DIRECTORY = "directory"
#: Columns that a file must have; older files have no weight.
REQUIRED_COLUMNS = tuple(name for name in COLUMNS if name != "weight")


@dataclass(frozen=True)
class SubsetRow:
    """One chosen class.

    Attributes:
        source: Dataset spec of the bank that it comes from.
        class_name: The class (column ``class``).
        count: Its images; None (empty in the file) if its bank does not know them.
        rank: Its rank, from 1; the best one if several targets chose it.
        distance: What its strategy reports: see :attr:`similarity.Strategy.ranked_by`.
        targets: Dataset specs of the targets that chose it (joined by ``;`` in the file).
        weight: Share of the targets that the class serves, 0 to 1; None (empty in the file) if the strategy has none.
    """

    source: str
    class_name: str
    count: int | None
    rank: int
    distance: float
    targets: tuple[str, ...]
    weight: float | None = None


@dataclass(frozen=True)
class Subset:
    """Chosen source classes.

    Attributes:
        rows: The classes, best first.
        provenance: Banks, strategy, geometry and sizes, as JSON values.
    """

    rows: tuple[SubsetRow, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sources(self) -> tuple[str, ...]:
        """Dataset specs of the sources, each once, in the order of the rows."""
        return tuple(dict.fromkeys(row.source for row in self.rows))

    @property
    def targets(self) -> tuple[str, ...]:
        """Dataset specs of the targets, each once, in the order of the rows."""
        return tuple(dict.fromkeys(target for row in self.rows for target in row.targets))

    def classes_of(self, source: str) -> tuple[str, ...]:
        """Names of the classes chosen from one source, best first."""
        return tuple(row.class_name for row in self.rows if row.source == source)

    def to_json(self) -> dict[str, Any]:
        """The JSON result of ``transfer select``."""
        return {
            "selected": [
                {
                    "source": row.source,
                    "class": row.class_name,
                    "count": row.count,
                    "rank": row.rank,
                    "distance": row.distance,
                    "weight": row.weight,
                    "targets": list(row.targets),
                }
                for row in self.rows
            ]
        }

    def write(self, path: str | Location) -> None:
        """Write the file atomically.

        Raises:
            InputError: A name begins or ends with a space or holds a line end, which editors do not preserve.
        """
        for row in self.rows:
            for name in (row.source, row.class_name, *row.targets):
                if name != name.strip() or len(name.splitlines()) > 1:
                    raise InputError(
                        f"the name {name!r} cannot stand in a subset file, because it begins or ends with a "
                        f"space or holds a line end; rename it in the dataset"
                    )
        rows = (
            (
                row.source,
                row.class_name,
                "" if row.count is None else row.count,
                row.rank,
                float(row.distance),
                "" if row.weight is None else float(row.weight),
                ";".join(row.targets),
            )
            for row in self.rows
        )
        write_table(path, self.provenance, COLUMNS, rows)

    @classmethod
    def read(cls, path: str | Location) -> Subset:
        """Read a subset file, as written or as edited: see :mod:`features.infrastructure.formats.tables`.

        Rows are sorted by rank; rows of equal rank keep the order of the file.

        Raises:
            InputError: The file does not exist, a column is missing, a row is invalid or occurs twice, or there is no
                row.
        """
        where: dict[str, Any] = {"kind": "subset file", "make": f"transfer select --out {shlex.quote(str(path))}"}
        first_line: dict[tuple[str, str], int] = {}
        rows = []
        for line, values in read_rows(path, REQUIRED_COLUMNS, **where):
            row = _row(values, f"{path} line {line}")
            earlier = first_line.setdefault((row.source, row.class_name), line)
            if earlier != line:
                raise InputError(
                    f"{path} line {line}: class {row.class_name!r} of {row.source} is on line {earlier} already; "
                    f"remove one of them"
                )
            rows.append(row)
        if not rows:
            raise InputError(f"{path}: the file has no class; expected rows below the header {','.join(COLUMNS)}")
        return cls(tuple(sorted(rows, key=lambda row: row.rank)), read_provenance(path, **where))


def _row(values: dict[str, str], where: str) -> SubsetRow:
    """Parse one row, given by column."""
    for name in ("source", "class"):
        if not values[name]:
            raise InputError(f"{where}: {name} is empty")
    distance = _number(float, values["distance"])
    if distance is None or not math.isfinite(distance):
        raise InputError(f"{where}: distance must be a number, got {values['distance']!r}")
    whole_numbers = {}
    for name in ("count", "rank") if values["count"] else ("rank",):
        number = _number(int, values[name])
        if number is None or number < 1:
            raise InputError(f"{where}: {name} must be a whole number of at least 1, got {values[name]!r}")
        whole_numbers[name] = int(number)
    weight = _number(float, values["weight"]) if values.get("weight") else None
    if values.get("weight") and not (weight is not None and 0 <= weight <= 1):
        raise InputError(f"{where}: weight must be a number from 0 to 1, or empty, got {values['weight']!r}")
    targets = tuple(target.strip() for target in values["targets"].split(";") if target.strip())
    figures: dict[str, Any] = {"count": None, **whole_numbers, "distance": distance, "weight": weight}
    return SubsetRow(values["source"], class_name(values["class"]), targets=targets, **figures)


def _number(kind: type[int] | type[float], text: str) -> float | None:
    try:
        return None if "_" in text else kind(text)  # Python allows "_" between digits
    except ValueError:
        return None
