"""``clusters:FILE.csv``: another dataset, its images labelled by the cluster that each was put in.

The file has the columns ``id,cluster``. The line above holds the provenance as JSON: at least ``dataset``, the
spec of the base dataset, and ``manifest_sha256``, what the base said of itself when it was clustered. This
module is the only place that knows the file's layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.tables import read_provenance, read_rows, write_table
from features.readers import open_dataset
from features.readers.checks import check_split, existing_file, location, wrong

COLUMNS = ("id", "cluster")


def write_clusters(
    path: str | Path,
    dataset: str,
    manifest_sha256: str,
    rows: Iterable[tuple[str, str]],
    provenance: Mapping[str, Any],
) -> None:
    """Write which cluster each image is in, whole or not at all.

    Args:
        path: The file.
        dataset: Spec of the base dataset.
        manifest_sha256: What the base says of itself.
        rows: Id and cluster of each image; those of the base that lack are left out of the dataset.
        provenance: Whatever else is to be said of the clusters.
    """
    head = {"dataset": dataset, "manifest_sha256": manifest_sha256}
    write_table(path, head | dict(provenance), COLUMNS, rows)


def base_of(spec: DatasetSpec) -> tuple[DatasetSpec, str]:
    """The base dataset of ``clusters:FILE.csv``, and its manifest's hash when it was clustered.

    Raises:
        InputError: No such file, or its first line does not say.
    """
    path = existing_file(spec, location(spec), "what transfer cluster has written")
    head = read_provenance(path, **_kind(path))
    dataset, manifest = head.get("dataset"), head.get("manifest_sha256")
    if not isinstance(dataset, str) or not isinstance(manifest, str):
        raise wrong(
            spec, f"the first line of {path} does not name the dataset and its manifest_sha256; cluster the bank again"
        )
    return DatasetSpec.parse(dataset), manifest


def open_clusters(spec: DatasetSpec) -> ImageDataset:
    """Read ``clusters:FILE.csv``: the images of the base dataset that the file lists, in the base's order.

    Classes are the clusters, sorted by name; ids are those of the base. Spaces at the ends of an id do not count.

    Raises:
        InputError: No such file, a row that is wrong, an id that stands in two clusters or is none of the base, a
            base that cannot be opened or has changed since it was clustered, or a split.
    """
    check_split(spec, ())
    base, manifest = base_of(spec)
    path = location(spec)
    if base.scheme == spec.scheme and location(base).absolute() == path.absolute():
        raise wrong(spec, f"{path} names itself as its base dataset; cluster the bank again")
    cluster_of: dict[str, str] = {}
    for line, row in read_rows(path, COLUMNS, **_kind(path)):
        if not row["id"] or not row["cluster"]:
            raise wrong(spec, f"{path}, line {line}: {'cluster' if row['id'] else 'id'} is empty")
        if cluster_of.setdefault(row["id"], row["cluster"]) != row["cluster"]:
            raise wrong(spec, f"{path}, line {line}: the image {row['id']!r} is in another cluster already")
    try:
        dataset = open_dataset(base)
    except InputError as error:
        raise wrong(spec, f"the dataset that was clustered cannot be opened: {error}") from error
    if dataset.manifest_sha256 != manifest:
        raise wrong(spec, f"{base} is not what was clustered any more; extract it again and cluster the new bank")
    names = tuple(sorted(set(cluster_of.values())))
    position = {name: i for i, name in enumerate(names)}
    ids = [id_.strip() for id_ in dataset.ids]
    if unknown := cluster_of.keys() - set(ids):
        raise wrong(spec, f"{path} lists {min(unknown)!r}, which is no image of {base}; cluster the bank again")
    labels = np.array([position.get(cluster_of.get(id_, ""), -1) for id_ in ids], dtype=np.int64)
    kept = np.flatnonzero(labels >= 0)
    part = dataset.take(kept)
    return ImageDataset(str(spec), names, labels[kept], part.ids, part.source)


def _kind(path: Path) -> dict[str, str]:
    return {"kind": "file of clusters", "make": f"transfer cluster BANK.h5 --out {path.with_suffix('.h5')}"}
