"""The pages of the tables that hold images: copies side by side, and clusters as contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features import open_dataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import read_columns, read_provenance, read_rows
from features.readers.schemes import clusters
from similarity.copies import duplicates
from transfer.pages.page import render
from transfer.pages.pictures import Thumbnails

#: Pairs that are shown, and pairs that are named.
PAIRS, NAMED_PAIRS = 100, 1000
#: Clusters that are shown, images of each, and clusters that are named.
CLUSTERS, IMAGES, NAMED_CLUSTERS = 60, 8, 1000


def table_page(path: Path) -> str:
    """The page of a table of ``transfer duplicates`` or ``transfer cluster``.

    Raises:
        InputError: It is another table, or its datasets cannot be opened.
    """
    columns = set(read_columns(path, kind="table"))
    if columns >= set(duplicates.COLUMNS):
        return _pairs_page(path)
    if columns >= set(clusters.COLUMNS):
        return _clusters_page(path)
    raise InputError(
        f"{path}: nothing to report; expected a table of transfer duplicates ({','.join(duplicates.COLUMNS)}) or of "
        f"transfer cluster ({','.join(clusters.COLUMNS)})"
    )


def _pairs_page(path: Path) -> str:
    rows: list[dict[str, Any]] = [row for _, row in read_rows(path, duplicates.COLUMNS, kind="list of copies")]
    try:
        for row in rows:
            row["cosine"] = float(row["cosine"])
    except ValueError as error:
        raise InputError(f"{path}: a cosine is not a number ({error})") from error
    rows.sort(key=lambda row: row["cosine"])
    thumbnails, shown = Thumbnails(), rows[:PAIRS]
    for id_, spec, picture in (("id", "source", "picture"), ("target_id", "target", "target_picture")):
        for name in dict.fromkeys(row[spec] for row in shown):
            mine = [row for row in shown if row[spec] == name]
            for row, address in zip(mine, thumbnails.of_images(name, [row[id_] for row in mine]), strict=True):
                row[picture] = address
    return render(
        "pairs.html.j2",
        path=str(path),
        pairs=shown,
        number=len(rows),
        sources=sorted({row["source"] for row in rows}),
        targets=sorted({row["target"] for row in rows}),
        inside=_is_inside(path, rows),
        named=[(row["id"], row["target_id"], row["cosine"]) for row in rows[PAIRS : PAIRS + NAMED_PAIRS]],
        thumbnails=thumbnails,
    )


def _is_inside(path: Path, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list is of copies inside a dataset; one that lost its provenance is if its pairs are."""
    against = read_provenance(path, kind="list of copies").get("targets")
    return not against and all(row["source"] == row["target"] for row in rows)


def _clusters_page(path: Path) -> str:
    spec = str(DatasetSpec("clusters", str(path)))
    dataset, thumbnails = open_dataset(spec), Thumbnails()
    counts = dataset.counts
    order = np.argsort(-counts, kind="stable")
    members = np.argsort(dataset.labels, kind="stable")
    ends = np.cumsum(counts)
    groups = {
        dataset.classes[label]: _spread(members[ends[label] - counts[label] : ends[label]], IMAGES)
        for label in order[:CLUSTERS]
    }
    pictures = thumbnails.of_groups(spec, groups)
    return render(
        "clusters.html.j2",
        path=str(path),
        clusters=[(dataset.classes[i], int(counts[i]), pictures[dataset.classes[i]]) for i in order[:CLUSTERS]],
        number=len(order),
        images=len(dataset),
        named=[(dataset.classes[i], int(counts[i])) for i in order[CLUSTERS : CLUSTERS + NAMED_CLUSTERS]],
        thumbnails=thumbnails,
    )


def _spread(positions: Any, number: int) -> Any:
    """At most ``number`` of some positions, evenly spread over them."""
    if len(positions) <= number:
        return positions
    return positions[np.linspace(0, len(positions) - 1, number).round().astype(np.int64)]
