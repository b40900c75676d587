"""The files of a prediction: its table as CSV or Parquet, and the features of the images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.disk.files import atomic_file
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from features.infrastructure.processes import rank, wait_for_all, world_size
from features.infrastructure.storage.addresses import Location, located, working_file
from features.kept_features import KeptFeatures
from features.precomputed.feature_file import PROVENANCE
from features.precomputed.formats.parquet import import_pyarrow
from features.precomputed.writing import Rows, blocks_of, write_rows

if TYPE_CHECKING:
    from finetune.prediction.prediction import Prediction

CSV, PARQUET = ".csv", ".parquet"
FEATURES = ".npz"
#: Key of the metadata of Parquet that holds the provenance of a table: JSON in ASCII, since a path may not be UTF-8.
TABLE_SCHEMA = "transfer.predictions"


def check_parquet(path: str) -> None:
    """Raise ``InputError`` if a file is to be Parquet and the package for it is missing."""
    if located(path).suffix != PARQUET:
        return
    try:
        import_pyarrow(located(path))
    except InputError as error:
        raise InputError(f"`out` {error}, or name a file that ends in {CSV}") from error


def write_predictions(prediction: Prediction, provenance: Mapping[str, Any]) -> None:
    """Write the table of a prediction, completely or not at all, as the ending of its name says.

    Parquet has the ``provenance`` in its metadata. CSV has none, so that any program reads it.
    """
    if prediction.out.suffix == PARQUET:
        _write_parquet(prediction, provenance)
        return
    chunks = prediction.columns()
    first = next(chunks)
    rows = chain.from_iterable(
        zip(*map(_as_texts, columns.values()), strict=True) for columns in chain([first], chunks)
    )
    write_table(prediction.out, None, list(first), rows)


def _as_texts(column: NDArray[Any]) -> list[str | None]:
    """A column as CSV holds it: a float32 has as few digits as tell it from others, and NaN is empty."""
    if column.dtype == object:
        return column.tolist()
    return np.where(np.isnan(column), "", column.astype(str)).tolist()


def _write_parquet(prediction: Prediction, provenance: Mapping[str, Any]) -> None:
    arrow, parquet = import_pyarrow(prediction.out)
    chunks = prediction.columns()
    first = next(chunks)
    types = {name: arrow.string() if column.dtype == object else arrow.float32() for name, column in first.items()}
    schema = arrow.schema(types.items(), {TABLE_SCHEMA: json.dumps(dict(provenance))})
    with atomic_file(prediction.out) as aside, parquet.ParquetWriter(aside, schema) as writer:
        for columns in chain([first], chunks):
            arrays = [arrow.array(column, types[name], from_pandas=True) for name, column in columns.items()]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


@contextmanager
def kept_features(path: Location | None, dim: int) -> Iterator[KeptFeatures | None]:
    """Yield what keeps the features of this process, aside ``path``, until they are written; None without a path.

    The name aside is always the same, so that the same command replaces and removes what a killed process left.
    """
    if path is None:
        yield None
        return
    kept = KeptFeatures(_aside(path, rank()), dim, 0)
    try:
        yield kept
    finally:
        kept.close()
        kept.path.unlink(missing_ok=True)


def write_kept(prediction: Prediction, kept: KeptFeatures, provenance: Mapping[str, Any]) -> None:
    """Write the features of the readable images, completely or not at all; every process calls it with its own.

    The file has the arrays ``feature`` (N, D) float32 and ``id`` (N,) in the dataset's order, if the dataset has labels
    ``label`` (N,), the names of the classes, and the provenance.
    """
    assert prediction.features is not None
    path = prediction.features
    kept.flush()
    wait_for_all()
    if rank() == 0:
        for other in range(1, world_size()):
            part = _aside(path, other)
            rows = KeptFeatures.rows(part, kept.dim)
            if rows:
                kept.append(np.memmap(part, np.float32, "r", shape=(rows, kept.dim)))
        readable = prediction.classes[:, 0] >= 0
        values: dict[str, Any] = {"id": prediction.ids[readable].tolist()}
        if prediction.labels is not None:
            values["label"] = prediction.labels[readable].tolist()
        about = {"schema": PROVENANCE, "column": "feature", "width": kept.dim, "skipped": prediction.unreadable}
        features = {"feature": partial(blocks_of, kept.array())}
        write_rows(Rows(int(readable.sum()), kept.dim, values, features, about | dict(provenance)), path)
    wait_for_all()


def _aside(path: Location, process: int) -> Path:
    return working_file(path, f".rows-{process}", ".")
