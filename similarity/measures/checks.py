"""What every measure refuses at its door, and how labels come in."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: By how much the probabilities of an image may miss the sum 1: those of a half-precision softmax do.
_SUM = 1e-2


def checked_features(features: ArrayLike, name: str = "features") -> NDArray[np.float64]:
    """Features (N, D) as float64, the same array where they are that already.

    Raises:
        ValueError: They are no matrix, hold no image or no feature, or are not finite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"{name} must be (images, width) with at least one of each, got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return rows


def checked_labels(labels: ArrayLike, images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels as places among the classes that occur, and the images of each of those.

    Args:
        labels: (N,) integers; which they are does not matter, nor whether some are missing.
        images: N.

    Returns:
        (N,) integers in 0 … C − 1, and (C,) counts, none of them 0.

    Raises:
        ValueError: They are not N integers, or all the same.
    """
    truth = np.asarray(labels)
    if truth.shape != (images,) or not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"labels must be {images} integers, one an image, got {truth.dtype} of shape {truth.shape}")
    found, places, counts = np.unique(truth, return_inverse=True, return_counts=True)
    if len(found) < 2:
        raise ValueError(f"labels must hold at least 2 classes to tell apart, got only {found[0]}")
    return places.astype(np.int64), counts.astype(np.int64)


def checked_posterior(posterior: ArrayLike) -> NDArray[np.float64]:
    """Class probabilities (N, Z), each row scaled to the sum 1.

    Raises:
        ValueError: They are no matrix, not finite, negative, or the rows do not sum to about 1.
    """
    rows = checked_features(posterior, "posterior")
    sums = rows.sum(axis=1, keepdims=True)
    if (rows < 0).any() or np.abs(sums - 1).max() > _SUM:
        raise ValueError(
            f"posterior must hold probabilities that sum to 1 for each image, got values from {rows.min():.3g} and "
            f"sums from {sums.min():.3g} to {sums.max():.3g}"
        )
    return rows / sums
