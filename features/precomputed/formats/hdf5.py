"""HDF5: datasets by their paths, such as ``train/feature``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from features.bank import SCHEMA, SUFFIXES
from features.infrastructure.hdf5.opening import read_attributes, readable
from features.infrastructure.storage.addresses import Location
from features.precomputed.feature_file import ArrayFile, Column, FileFormat, array_column

#: What messages call such a file.
_KIND = "file of features"


class Hdf5File(ArrayFile):
    """The datasets of an HDF5 file."""

    def __init__(self, path: Location) -> None:
        columns: dict[str, Column] = {}
        self.path, self.columns, self.provenance = path, columns, {}

        def add(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                text = h5py.check_string_dtype(item.dtype) is not None and item.ndim == 1
                columns[name] = Column("text", len(item), "text") if text else array_column(item.dtype, item.shape)

        with readable(path, _KIND) as file:
            if str(read_attributes(file).get("schema")) == SCHEMA:
                raise self.error("is a feature bank already; give it to transfer rank, select, cluster or duplicates")
            file.visititems(add)

    @contextmanager
    def reader(self, name: str) -> Iterator[Callable[[int, int], NDArray[Any]]]:
        with readable(self.path, _KIND) as file:
            found = file[name]
            if h5py.check_string_dtype(found.dtype) is not None:
                found = found.asstr(errors="surrogateescape")
            yield lambda start, stop: np.array(found[start:stop])

    def values(self, name: str) -> NDArray[Any] | list[str]:
        found = super().values(name)
        return list(found) if isinstance(found, np.ndarray) and found.dtype.kind == "O" else found


HDF5 = FileFormat("hdf5", "datasets by their paths", SUFFIXES, Hdf5File)
