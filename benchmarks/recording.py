"""Shared by all benchmarks: where data and results are, how a result is recorded, and the error of a mean.

A result is one JSON file in ``benchmarks/results``. It holds the command that made it, the figures, and the versions of
the packages behind them, and no path of the machine.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from features.infrastructure.files import write_json
from features.infrastructure.provenance import versions
from transfer.archives import unpack

ROOT = Path(__file__).resolve().parent.parent
#: The archives of real images, see the README of that folder.
DATA = Path(os.environ.get("TRANSFER_DATA", ROOT.parent / "shared" / "data"))
#: Everything that a benchmark makes and may reuse: unpacked images, banks, runs.
WORK = ROOT / "runs" / "benchmarks"
RESULTS = ROOT / "benchmarks" / "results"


def unpacked(*archives: str) -> Path:
    """Unpack archives of :data:`DATA` into :data:`WORK`, once, and return that folder."""
    return unpack(archives, DATA, WORK)


def record(path: Path, content: Mapping[str, Any], *packages: str) -> None:
    """Write a result with the versions behind it.

    Args:
        path: The JSON file, in :data:`RESULTS` or a folder below it.
        content: The command, the seed, the figures.
        packages: Packages that matter here beside those of :func:`features.infrastructure.provenance.versions`.
    """
    text = json.dumps({**content, "versions": versions(*packages)}, ensure_ascii=False)
    write_json(path, json.loads(text.replace(f"{WORK}/", "")))
    print(f"written to {os.path.relpath(path)}", flush=True)


def read_table(path: Path) -> list[dict[str, str]]:
    """The whole lines of a table that only grows, without one that a kill cut off; empty if there is none."""
    if not path.is_file():
        return []
    header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a table, below its header, which the first one writes; several processes may add to one table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), lineterminator="\n")
    with path.open("ab+") as file:
        if not file.seek(0, os.SEEK_END):
            writer.writeheader()
        elif file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
            text.write("\n")  # behind a line that a kill cut off
        writer.writerow(row)
        file.write(text.getvalue().encode())


def standard_error(values: ArrayLike) -> float | None:
    """Standard error of the mean of independent values, s/√n with the sample deviation s; None for fewer than two."""
    sample = np.asarray(values, dtype=np.float64)
    return float(sample.std(ddof=1) / np.sqrt(len(sample))) if len(sample) > 1 else None
