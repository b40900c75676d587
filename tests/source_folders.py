"""Two folders of images with one class name in both, and subset files of their classes."""

from __future__ import annotations

from pathlib import Path

from similarity.selection.subset import Subset, SubsetRow

#: Name → colour; "both" stands in the two sources, as different things.
FIRST, SECOND = {"both": 0, "one": 1, "two": 2}, {"both": 3, "three": 4}


def subset_file(path: Path, *classes: tuple[str, str]) -> str:
    rows = [SubsetRow(source, name, 1, rank, 0.5, ("t",)) for rank, (source, name) in enumerate(classes, 1)]
    Subset(tuple(rows)).write(path)
    return str(path)
