"""The four numbers of an image that metrics need, whatever the number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Scores compared at once, which limits the memory of a comparison to about 16 MB.
_CHUNK = 1 << 24


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for N images.

    Attributes:
        labels: (N,) int64, the true class.
        ranks: (N,) int64, the rank of the true class, from 0; see :func:`true_class_ranks`.
        predicted: (N,) int64, the class with the best score, the lowest number of equal ones.
        confidence: (N,) the best score.
    """

    labels: NDArray[np.int64]
    ranks: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.floating]

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> Predictions:
        """The predictions of (N, C) scores and (N,) labels; raises as :func:`true_class_ranks`."""
        table = np.asarray(scores)
        ranks = true_class_ranks(table, labels)
        return cls(np.asarray(labels, dtype=np.int64), ranks, table.argmax(axis=1), table.max(axis=1))

    @classmethod
    def concatenate(cls, parts: Sequence[Predictions]) -> Predictions:
        """Join the predictions of at least one batch."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def true_class_ranks(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """The rank (N,) of each true class, from 0: the number of classes that come before it.

    Of equal scores the lower class number comes first, as in ``argmax``, so a model that scores all classes alike is
    correct for one class only. Raises ``ValueError`` unless ``scores`` are (N, C) without NaN and +∞, and ``labels``
    (N,) integers in 0 … C − 1.

    >>> true_class_ranks([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], [2, 1])
    array([1, 1])
    """
    table = np.asarray(scores)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"scores must have shape (N, C) with at least one class, got {table.shape}")
    truth = checked_labels(labels, table.shape[1])
    if len(truth) != len(table):
        raise ValueError(f"labels must have one entry for each of the {len(table)} rows of scores, got {len(truth)}")
    ranks = np.empty(len(table), dtype=np.int64)
    rows = max(1, _CHUNK // table.shape[1])
    column = np.arange(table.shape[1])
    for start in range(0, len(table), rows):
        part, true = table[start : start + rows], truth[start : start + rows, None]
        if np.isnan(part).any() or np.isposinf(part).any():
            raise ValueError(f"scores must not hold NaN or +∞, found in rows {start} to {start + len(part) - 1}")
        own = np.take_along_axis(part, true, axis=1)
        ranks[start : start + rows] = ((part > own) | ((part == own) & (column < true))).sum(axis=1)
    return ranks


def checked_labels(labels: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Labels (N,) as int64; raises ``ValueError`` unless they are integers in 0 … ``n_classes`` − 1."""
    truth = np.asarray(labels)
    if truth.ndim != 1 or not (np.issubdtype(truth.dtype, np.integer) or not len(truth)):
        raise ValueError(f"labels must be integers of shape (N,), got {truth.dtype} of shape {truth.shape}")
    if len(truth) and not (truth.min() >= 0 and truth.max() < n_classes):
        raise ValueError(f"labels must be in 0 … {n_classes - 1}, got {truth.min()} to {truth.max()}")
    return truth.astype(np.int64)
