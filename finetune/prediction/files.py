"""The files of a prediction: its table as CSV or Parquet, and the features of the images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError
from features.infrastructure.files import atomic_file
from features.infrastructure.processes import rank, wait_for_all, world_size
from features.infrastructure.tables import write_table
from features.kept_features import KeptFeatures
from finetune.prediction.prediction import Prediction

CSV, PARQUET = ".csv", ".parquet"
FEATURES = ".npz"
#: The provenance of the two files: the key in the metadata of Parquet, and the array in the file of features. It is
#: JSON in ASCII, since a path may not be UTF-8.
TABLE_SCHEMA, FEATURES_SCHEMA = "transfer.predictions", "transfer.features"


def check_parquet(path: str) -> None:
    """Raise ``InputError`` if a file is to be Parquet and the package for it is missing."""
    if Path(path).suffix != PARQUET:
        return
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'`out` {path}: Parquet needs the package pyarrow; run pip install "transfer-toolkit[parquet]", or name a '
            f"file that ends in {CSV}"
        ) from error


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
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    chunks = prediction.columns()
    first = next(chunks)
    types = {name: pyarrow.string() if column.dtype == object else pyarrow.float32() for name, column in first.items()}
    schema = pyarrow.schema(types.items(), {TABLE_SCHEMA: json.dumps(dict(provenance))})
    with atomic_file(prediction.out) as aside, ParquetWriter(aside, schema) as writer:
        for columns in chain([first], chunks):
            arrays = [pyarrow.array(column, types[name], from_pandas=True) for name, column in columns.items()]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


@contextmanager
def kept_features(path: Path | None, dim: int) -> Iterator[KeptFeatures | None]:
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


def write_features(prediction: Prediction, kept: KeptFeatures, provenance: Mapping[str, Any]) -> None:
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
        arrays: dict[str, Any] = {"id": prediction.ids[readable].astype(str)}
        if prediction.labels is not None:
            arrays["label"] = prediction.labels[readable].astype(str)
        about = {"schema": FEATURES_SCHEMA, "column": "feature", "width": kept.dim, "skipped": prediction.unreadable}
        arrays[FEATURES_SCHEMA] = np.array(json.dumps(about | dict(provenance)))
        with atomic_file(path) as aside, aside.open("wb") as file:
            np.savez(file, feature=kept.array(), **arrays)
    wait_for_all()


def _aside(path: Path, process: int) -> Path:
    return path.with_name(f".{path.name}.rows-{process}")
