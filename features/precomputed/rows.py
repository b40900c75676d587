"""Rows of features that stand where the images of a dataset stand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features.infrastructure.errors import InputError
from features.precomputed.feature_file import FeatureFile


class FeatureRows:
    """N rows of a file of features, by position: the source of a dataset that has no images.

    Args:
        file: The file.
        column: The name of its features.
        rows: (N,) numbers of the rows in the file, from 0.
        model: The model that made the features, as the user says; None if nobody does.
    """

    def __init__(self, file: FeatureFile, column: str, rows: NDArray[np.int64], model: str | None) -> None:
        self.file, self.column, self.rows, self.model = file, column, rows, model

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """Number D of features a row."""
        return self.file.width(self.column)

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        raise InputError(f"{self.file.path}: holds features, no images")

    def take(self, indices: NDArray[np.int64]) -> FeatureRows:
        return FeatureRows(self.file, self.column, self.rows[indices], self.model)

    def fingerprint(self) -> bytes:
        return self.file.sha256.encode()

    def modified(self) -> float:
        return 0.0

    def blocks(self, positions: range) -> Iterator[NDArray[np.float32]]:
        """Yield the features (B, D) at some positions, in order.

        Raises:
            InputError: A feature is NaN or infinite, here or in float32; the message names the row.
            ValueError: The rows are not in the order of the file.
        """
        rows = self.rows[positions.start : positions.stop]
        if (np.diff(rows) <= 0).any():
            raise ValueError("features are read in the order of the file; give the rows in ascending order")
        done = 0
        for block in self.file.blocks(self.column, rows):
            with np.errstate(over="ignore"):
                features = block.astype(np.float32, copy=False)
            finite = np.isfinite(features).all(axis=1)
            if not finite.all():
                place = int(np.argmin(finite))
                raise self.file.error(_not_finite(block[place], self.column, int(rows[done + place])))
            done += len(block)
            yield features


def _not_finite(features: NDArray[np.floating], column: str, row: int) -> str:
    """What is wrong with a row of features."""
    where = f"row {row} of the column {column!r}"
    if np.isnan(features).any():
        return f"{where} holds NaN; remove the row or compute it again"
    if np.isinf(features).any():
        narrow = " in float16, whose largest number is 65,504; save float32" if features.dtype == np.float16 else ""
        return f"{where} holds infinity{narrow or '; remove the row or compute it again'}"
    return f"{where} holds numbers that are too large for float32; scale the features"
