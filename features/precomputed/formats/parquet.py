"""Parquet, through pyarrow (extra ``parquet``): columns of lists of floats, read one part of a row group at a time."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError
from features.infrastructure.names import duplicate
from features.infrastructure.storage.addresses import Location, local_copy
from features.precomputed.feature_file import BLOCK, PROVENANCE, Column, FeatureFile, FileFormat, provenance_in

#: Key of the metadata that holds a covariance, as base64 of float32 numbers.
COVARIANCE = "transfer.within_covariance"
#: Bytes behind the metadata: its length and the name of the format.
_END = 8
#: Bytes that are read at a time of each column; without it a whole row group is read at once.
_BUFFER = 1 << 20
#: Rows that a byte of a file can hold, where all of them are equal; a row has a feature at least.
_ROWS_A_BYTE = 64


def import_pyarrow(path: Location) -> tuple[Any, Any]:
    """Return the modules ``pyarrow`` and ``pyarrow.parquet``; raise `InputError` if they are not installed."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            f'{path}: Parquet needs the package pyarrow; run pip install "transfer-toolkit[parquet]"'
        ) from error


class ParquetFile(FeatureFile):
    """The columns of a Parquet file."""

    def __init__(self, path: Location) -> None:
        self.path = path
        self._arrow, self._parquet = import_pyarrow(path)
        with self._open() as file:
            rows = file.metadata.num_rows
            most = _ROWS_A_BYTE * local_copy(path).stat().st_size
            if not 0 <= rows <= most:
                raise self.error(f"not a readable Parquet file (it states {rows:,} rows, and can hold {most:,})")
            if twice := duplicate(file.schema_arrow.names):
                raise self.error(f"two of its columns are called {twice!r}")
            self.columns = {field.name: self._column(field.type, rows) for field in file.schema_arrow}
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            metadata = file.metadata.metadata or {}
            self._sealed_from = local_copy(path).stat().st_size - file.metadata.serialized_size - _END
            self.provenance = provenance_in(metadata.get(PROVENANCE.encode(), b"").decode())
        self._starts = np.cumsum([0, *sizes])
        self._covariance = metadata.get(COVARIANCE.encode())

    def values(self, name: str) -> NDArray[Any] | list[str]:
        with self._open() as file:
            column = file.read([name]).column(name)
        self._check_present(column, name, 0)
        types = self._arrow.types
        if types.is_integer(column.type):
            return np.asarray(column.to_numpy())
        if types.is_binary(column.type) or types.is_large_binary(column.type):
            return [value.decode("utf-8", "surrogateescape") for value in column.to_pylist()]
        return list(map(str, column.to_pylist()))

    def blocks(self, name: str, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        first_rows = self._starts[:-1]
        groups = np.unique(np.searchsorted(first_rows, rows, side="right") - 1)
        width = self.width(name)
        with self._open() as file:
            for group in groups.tolist():
                start = int(first_rows[group])
                for batch in file.iter_batches(BLOCK, row_groups=[group], columns=[name]):
                    first, last = np.searchsorted(rows, [start, start + len(batch)])
                    if first < last:
                        yield self._features(batch.column(name), name, width, start)[rows[first:last] - start]
                    start += len(batch)

    def covariance(self) -> NDArray[np.float32] | None:
        if self._covariance is None:
            return None
        try:
            found = np.frombuffer(base64.b64decode(self._covariance, validate=True), dtype="<f4")
            return found.reshape(math.isqrt(len(found)), -1).astype(np.float32)
        except ValueError as error:
            raise self.error(f"not a readable Parquet file (its covariance: {error})") from error

    def width(self, name: str) -> int:
        found = self.columns[name].width
        if found is None:  # the first row tells it
            with self._open() as file:
                lists = next(file.iter_batches(1, columns=[name])).column(name)
            self._check_present(lists, name, 0)
            found = len(lists[0])
        return found

    def _features(self, lists: Any, name: str, width: int, start: int) -> NDArray[Any]:
        """The features (B, D) of a batch that begins in row ``start``."""
        self._check_present(lists, name, start)
        if not self._arrow.types.is_fixed_size_list(lists.type):
            lengths = np.diff(lists.offsets.to_numpy())
            if (lengths != width).any():
                row = int(np.argmax(lengths != width))
                fault = f"row {start + row} of the column {name!r} has {lengths[row]} features, row 0 has {width}"
                raise self.error(f"{fault}; every row needs as many")
        return np.asarray(lists.flatten().to_numpy(zero_copy_only=False)).reshape(len(lists), width)

    def _check_present(self, values: Any, name: str, start: int) -> None:
        """Raise `InputError` if one of the values of a column is missing; the first of them is in row ``start``."""
        if values.null_count:
            row = start + int(np.argmax(np.asarray(values.is_null())))
            raise self.error(f"row {row} has no value in the column {name!r}; remove the row")

    def _column(self, kind: Any, rows: int) -> Column:
        types = self._arrow.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind):
            width = kind.list_size if types.is_fixed_size_list(kind) else None
            about = f"lists of {kind.value_type}" if width is None else f"{kind.value_type}, {width} a row"
            return Column("features" if types.is_floating(kind.value_type) else "other", rows, about, width)
        if types.is_integer(kind):
            return Column("integers", rows, str(kind))
        texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_boolean)
        if any(is_text(kind) for is_text in texts):
            return Column("text", rows, "text")
        return Column("other", rows, str(kind))

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open the file; a fault of its content is an `InputError`."""
        try:
            with self._parquet.ParquetFile(
                local_copy(self.path), buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            ) as file:
                yield file
        except InputError:
            raise
        except (self._arrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            raise self.error(f"not a readable Parquet file ({error})") from error


PARQUET = FileFormat(
    "parquet", "columns; features are lists of floats (extra parquet)", (".parquet", ".pq"), ParquetFile
)
