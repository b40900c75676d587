"""Features as files that other programs read: Parquet, or ``.npz``; ``features:FILE`` reads them back."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.disk.files import atomic_file, check_ending, check_new
from features.infrastructure.disk.stored_rows import StoredRows
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, located
from features.infrastructure.storage.secrets import without_secrets
from features.precomputed import seals
from features.precomputed.feature_file import PROVENANCE
from features.precomputed.formats.parquet import COVARIANCE, import_pyarrow
from features.precomputed.provenance import HOW

#: Rows of a row group of Parquet: 32 MiB of 1,024 features.
_ROWS = 1 << 13
#: Largest covariance in the metadata of Parquet, in bytes: pyarrow reads texts of at most 100 MB.
_MOST_METADATA = 75_000_000
#: Bytes behind the metadata of Parquet: its length and the name of the format.
_END = 8


@dataclass(frozen=True)
class WrittenFeatures:
    """A file that was written from a bank.

    Attributes:
        path: The file.
        rows: Number of its rows.
        of_images: Whether a row is an image; else it is a class.
    """

    path: Location
    rows: int
    of_images: bool

    def to_json(self) -> dict[str, Any]:
        """The fields, for ``transfer export --json``."""
        return {"path": str(self.path), "rows": self.rows, "of_images": self.of_images}


def write_features(bank: FeatureBank, path: str | Location, *, overwrite: bool = False) -> WrittenFeatures:
    """Write a bank as a file of features, completely or not at all.

    Of a bank that keeps its images, a row is an image: ``id``, ``label`` (its class) and ``feature`` (float32). Of
    others, a row is a class: ``name``, ``count``, ``mean`` and ``variance``, as far as they are known, and the
    within-class covariance beside them: the array ``covariance`` of ``.npz``, or the metadata of Parquet. The
    provenance of the bank, and the order of its classes, are JSON in the metadata of Parquet and in an array of
    ``.npz``, both called ``transfer.features``. Features are read from the bank in blocks.

    Args:
        bank: The bank; images are read from its file.
        path: A name that ends in ``.parquet`` or ``.npz``.
        overwrite: Replace a file that is there.

    Raises:
        InputError: The name has another ending, the file is there or cannot be written, pyarrow is missing, or the
            covariance is too large for the metadata of Parquet.
    """
    path = located(path)
    check_ending(path, _WRITERS)
    check_new({"`out`": path}, read=[bank.path] if bank.path else [], overwrite=overwrite)
    rows = _of_images(bank) if bank.keeps_images else _of_classes(bank)
    write_rows(rows, path)
    return WrittenFeatures(path, rows.size, bank.keeps_images)


@dataclass(frozen=True)
class Rows:
    """What a file of features holds.

    Attributes:
        size: Number N of rows.
        width: Number D of features.
        values: (N,) texts or numbers by the name of their column.
        features: Functions that yield the (N, D) features of a column in blocks, by its name; the blocks of all columns
            have the same sizes.
        provenance: As JSON holds it.
        covariance: (D, D), or None.
    """

    size: int
    width: int
    values: Mapping[str, Sequence[str] | NDArray[np.int64]]
    features: Mapping[str, Callable[[], Iterator[NDArray[np.floating]]]]
    provenance: Mapping[str, Any]
    covariance: NDArray[np.float32] | None = None


def write_rows(rows: Rows, path: Location) -> None:
    """Write a file of features, completely or not at all, in the format that its ending says.

    Raises:
        InputError: pyarrow is missing, or the covariance is too large for the metadata of Parquet.
    """
    with atomic_file(path) as aside:
        _WRITERS[path.suffix](rows, aside)


def _of_images(bank: FeatureBank) -> Rows:
    labels, ids = bank.image_labels()
    names = [bank.classes[label] for label in labels.tolist()]
    provenance = _provenance(bank, "feature") | {"classes": list(bank.classes)}
    features = {"feature": lambda: bank.image_blocks(_ROWS)}
    return Rows(len(ids), bank.means.shape[1], {"id": ids, "label": names}, features, provenance)


def _of_classes(bank: FeatureBank) -> Rows:
    values: dict[str, Sequence[str] | NDArray[np.int64]] = {"name": list(bank.classes)}
    if bank.counts_known:
        values["count"] = bank.counts
    features = {"mean": partial(blocks_of, bank.means)}
    if bank.variances is not None:
        features["variance"] = partial(blocks_of, bank.variances)
    size, width = bank.means.shape
    return Rows(size, width, values, features, _provenance(bank, "mean"), bank.within_covariance)


def blocks_of(array: NDArray[np.floating] | StoredRows) -> Iterator[NDArray[np.floating]]:
    """Yield the rows of an array in blocks, as :class:`Rows` holds them; an array without rows is one block."""
    yield from (array[start : start + _ROWS] for start in range(0, max(len(array), 1), _ROWS))


def _provenance(bank: FeatureBank, column: str) -> dict[str, Any]:
    """What the file says about the bank; ``column`` holds its features or means."""
    return {
        "schema": PROVENANCE,
        "dataset": str(bank.attrs.get("origin") or bank.name),
        "column": column,
        "width": bank.means.shape[1],
        "attributes": {name: bank.attrs.get(name, "") for name in HOW},
        "skipped": bank.skipped,
    }


def _write_parquet(rows: Rows, path: Path) -> None:
    arrow, parquet = import_pyarrow(path)
    metadata = {
        PROVENANCE: without_secrets(json.dumps({**rows.provenance, "sealed": True})),
        seals.NAME: seals.UNKNOWN.decode(),
    }
    if rows.covariance is not None:
        content = rows.covariance.astype("<f4").tobytes()
        if len(content) > _MOST_METADATA:
            raise InputError(
                f"`out` {path}: a covariance of {rows.width} features is too large for Parquet; write .npz"
            )
        metadata[COVARIANCE] = base64.b64encode(content).decode()
    vector = arrow.list_(arrow.float32(), rows.width)
    kinds = {name: arrow.int64() if isinstance(of, np.ndarray) else arrow.string() for name, of in rows.values.items()}
    schema = arrow.schema([*kinds.items(), *((name, vector) for name in rows.features)], metadata)
    done = 0
    # Dictionaries do not shorten floats, and cost half of the time.
    with parquet.ParquetWriter(path, schema, use_dictionary=list(kinds), write_page_checksum=True) as file:
        for blocks in zip(*(blocks() for blocks in rows.features.values()), strict=True):
            part = slice(done, done + len(blocks[0]))
            arrays = [arrow.array(list(of[part]), kinds[name]) for name, of in rows.values.items()]
            flat = (arrow.array(np.ravel(block).astype(np.float32)) for block in blocks)
            arrays += [arrow.FixedSizeListArray.from_arrays(numbers, rows.width) for numbers in flat]
            file.write_table(arrow.table(arrays, schema=schema))
            done = part.stop
    size = path.stat().st_size
    with path.open("rb") as written:
        written.seek(size - _END)
        seals.seal(path, size - _END - int.from_bytes(written.read(4), "little"))


def _write_npz(rows: Rows, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, values in rows.values.items():
            _add(archive, name, [np.array(list(values))], (rows.size,))
        for name, blocks in rows.features.items():
            _add(archive, name, (block.astype(np.float32) for block in blocks()), (rows.size, rows.width))
        if rows.covariance is not None:
            _add(archive, "covariance", [rows.covariance.astype(np.float32)], rows.covariance.shape)
        _add(archive, PROVENANCE, [np.array(without_secrets(json.dumps(rows.provenance)))], ())
        archive.comment = f"{seals.NAME}: ".encode() + seals.UNKNOWN
    seals.seal(path, path.stat().st_size - len(archive.comment))


def _add(archive: zipfile.ZipFile, name: str, blocks: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> None:
    """Add an array to a ``.npz`` file, one block of rows after the other."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        for number, block in enumerate(blocks):
            if number == 0:
                head = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(file, head)
            file.write(np.ascontiguousarray(block).tobytes())


_WRITERS: dict[str, Callable[[Rows, Path], None]] = {".parquet": _write_parquet, ".npz": _write_npz}
