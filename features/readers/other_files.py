"""Files of this toolkit that are no datasets, told by what is in them: they are named where a dataset is expected."""

from __future__ import annotations

from pathlib import Path

from features.bank import SCHEMA, SUFFIXES
from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import read_columns
from features.infrastructure.hdf5.opening import read_attributes, readable

#: Columns that a subset file has, also one that was edited; a table of images has no need of them.
_OF_SUBSET = {"source", "class", "rank", "distance"}


def other_file(path: Path) -> str | None:
    """Return what a path is that is no dataset, and what to give instead; None for another path.

    Known are feature banks, shards of them, checkpoints, run directories and subset files. A file that cannot be read
    is another one: its reader says what is wrong with it.
    """
    try:
        if path.suffix in SUFFIXES:
            return _of_hdf5(path)
        if path.suffix == ".csv":
            is_subset = set(read_columns(path, kind="table")) >= _OF_SUBSET
            return "is a subset file; give it to transfer pretrain, as `subset`" if is_subset else None
        is_model = find_checkpoint(path) is not None
        return "is a trained model; give the dataset that it is to be used on" if is_model else None
    except InputError:
        return None


def _of_hdf5(path: Path) -> str | None:
    with readable(path, "file") as file:
        known = read_attributes(file)
    if str(known.get("schema")) == SCHEMA:
        dataset = f", {known['dataset']}" if known.get("dataset") else ""
        return f"is a feature bank; give it to transfer rank, select, cluster or duplicates, or its dataset{dataset}"
    if str(known.get("schema")).startswith("transfer."):
        return "is a shard of a feature bank; give it to transfer merge"
    return None
