"""``clusters:FILE.csv``: another dataset whose images are labelled by cluster.

The file has the columns ``id,cluster``. The line above the header holds the provenance as JSON: at least ``dataset``,
the spec of the base dataset, and ``manifest_sha256``, the hash of the base's manifest when it was clustered. Only this
module knows the layout of the file.
"""

from __future__ import annotations

import shlex
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import read_columns, read_provenance, read_rows, write_table
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts
from features.readers.checks import check_split, existing_file, expanded, is_file
from features.readers.scheme import Scheme

COLUMNS = ("id", "cluster")
#: Files of clusters, each of which has the next one as its base.
_LONGEST_CHAIN = 16


def write_clusters(
    path: str | Location,
    dataset: str,
    manifest_sha256: str,
    rows: Iterable[tuple[str, str]],
    provenance: Mapping[str, Any],
) -> None:
    """Write ``rows`` of an id and a cluster to a file that ``clusters:`` reads, completely or not at all.

    ``dataset`` is the spec of the base, whose images that are missing here are left out of the dataset, and
    ``provenance`` holds further fields of the provenance line.
    """
    head = {"dataset": dataset, "manifest_sha256": manifest_sha256}
    write_table(path, head | dict(provenance), COLUMNS, rows)


def base_of_clusters(spec: DatasetSpec) -> DatasetSpec:
    """Return the spec of the dataset that was clustered.

    Raises:
        InputError: The file is missing, its first line does not name the base, or it names itself, perhaps through
            other files.
    """
    base = further = _provenance(spec)[0]
    seen = {expanded(spec.location).resolve()}
    while further.scheme == spec.scheme and is_file(file := expanded(further.location)):
        if len(seen) > _LONGEST_CHAIN:
            raise spec.error(f"is made of more than {_LONGEST_CHAIN} files of clusters in a row; cluster a bank again")
        if file.resolve() in seen:
            through = "" if further is base else " through other files"
            raise spec.error(f"{file} names itself as its base dataset{through}; cluster the bank again")
        seen.add(file.resolve())
        further = _provenance(further)[0]
    return base


def open_clusters(spec: DatasetSpec, base: ImageDataset) -> ImageDataset:
    """Read ``clusters:FILE.csv``: the images of the base dataset that the file lists, in the base's order.

    Classes are the clusters, sorted by name; ids are those of the base. Spaces at the ends of an id are ignored.

    Raises:
        InputError: A row is malformed, an id is in two clusters or not in the base, the base has changed since it was
            clustered, or the spec has a split.
    """
    check_split(spec, ())
    path = expanded(spec.location)
    listed, names, clusters = _read(spec, path)
    if base.manifest_sha256 != _provenance(spec)[1]:
        raise spec.error(f"{base.spec} has changed since it was clustered; extract it again and cluster the new bank")
    ids = base.ids.stripped()
    if len(unknown := np.flatnonzero(ids.positions(listed) < 0)):
        raise spec.error(
            f"{path} lists {min(listed.take(unknown))!r}, which is no image of {base.spec}; cluster the bank again"
        )
    row = listed.positions(ids)
    kept = np.flatnonzero(row >= 0)
    return replace(base.take(kept), spec=str(spec), classes=names, labels=clusters[row[kept]], numbers=None)


def _read(spec: DatasetSpec, path: Location) -> tuple[Texts, tuple[str, ...], NDArray[np.int64]]:
    """The ids in a file, the names of its clusters in order, and the (M,) number of the cluster of each id."""
    lines, numbers, number_of = array("q"), array("q"), dict[str, int]()

    def ids() -> Iterator[str]:
        for line, row in read_rows(path, COLUMNS, **_kind(path)):
            if not row["id"] or not row["cluster"]:
                raise spec.error(f"{path}, line {line}: {'cluster' if row['id'] else 'id'} is empty")
            lines.append(line)
            numbers.append(number_of.setdefault(row["cluster"], len(number_of)))
            yield row["id"]

    listed = Texts.of(ids())
    of_row = np.frombuffer(numbers, dtype=np.int64)
    if len(other := np.flatnonzero(of_row[listed.positions(listed)] != of_row)):
        where = f"{path}, line {lines[other[0]]}"
        raise spec.error(f"{where}: the image {listed[int(other[0])]!r} is in another cluster already")
    names = tuple(sorted(number_of))
    place = {name: i for i, name in enumerate(names)}
    return listed, names, np.array([place[name] for name in number_of], dtype=np.int64)[of_row]


def _provenance(spec: DatasetSpec) -> tuple[DatasetSpec, str]:
    """The base dataset, and the hash of its manifest when it was clustered."""
    path = existing_file(spec, expanded(spec.location), "a file that transfer cluster has written")
    head = read_provenance(path, **_kind(path))
    dataset, manifest = head.get("dataset"), head.get("manifest_sha256")
    if not isinstance(dataset, str) or not isinstance(manifest, str):
        raise spec.error(
            f"the first line of {path} does not name the dataset and its manifest_sha256; cluster the bank again"
        )
    return DatasetSpec.parse(dataset), manifest


def _kind(path: Location) -> dict[str, str]:
    bank = shlex.quote(str(path.with_suffix(".h5")))
    return {"kind": "file of clusters", "make": f"transfer cluster BANK.h5 --out {bank}"}


_MEANING = "another dataset by the clusters that transfer cluster found"


def _recognised(path: Path) -> DatasetSpec | None:
    """A table of ids and clusters."""
    try:
        is_table = path.suffix == ".csv" and read_columns(path, **_kind(path)) == COLUMNS
    except InputError:  # it is not text
        return None
    return DatasetSpec("clusters", str(path)) if is_table else None


CLUSTERS = Scheme(
    "clusters",
    _MEANING,
    "clusters:FILE.csv",
    open_clusters,
    base=base_of_clusters,
    addresses=True,
    recognises=_recognised,
)
