"""Tables that say how they came about: CSV below one line that holds the provenance as JSON."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


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
