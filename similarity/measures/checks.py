"""Validation of the arrays that measures receive."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Largest deviation of the sum of an image's probabilities from 1; that of a half-precision softmax is smaller.
_SUM = 1e-2


def checked_features(features: ArrayLike, name: str = "features") -> NDArray[np.float64]:
    """Features (N, D) as float64; raise `ValueError` unless they are a finite matrix with a row and a column."""
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"{name} must be (images, width) with at least one of each, got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return rows


def checked_labels(labels: ArrayLike, images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels (N,) as indices into the C classes that occur, and the images (C,) of each class.

    Raise `ValueError` unless they are N integers of at least two classes.
    """
    truth = np.asarray(labels)
    if truth.shape != (images,) or not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(
            f"labels must be {images} integers, one for each image, got {truth.dtype} of shape {truth.shape}"
        )
    found, indices, counts = np.unique(truth, return_inverse=True, return_counts=True)
    if len(found) < 2:
        raise ValueError(f"labels must hold at least 2 classes, got only {found[0]}")
    return indices.astype(np.int64), counts.astype(np.int64)


def checked_posterior(posterior: ArrayLike) -> NDArray[np.float64]:
    """Class probabilities (N, Z), normalised to sum 1; raise `ValueError` unless each row sums to about 1."""
    rows = checked_features(posterior, "posterior")
    sums = rows.sum(axis=1, keepdims=True)
    if (rows < 0).any() or np.abs(sums - 1).max() > _SUM:
        raise ValueError(
            f"posterior must hold probabilities that sum to 1 for each image, got values from {rows.min():.3g} and "
            f"sums from {sums.min():.3g} to {sums.max():.3g}"
        )
    return rows / sums
