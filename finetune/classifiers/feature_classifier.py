"""The lifecycle that all classifiers on features share.

The constructor only stores its arguments. ``fit`` checks the features and labels and learns attributes that end in an
underscore; fitting again forgets the first fit. A class without training images keeps its column and is never
predicted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from typing_extensions import Self

#: Rows that are scored at once: bounds the temporary arrays.
_ROWS = 1 << 13


class FeatureClassifier(ABC):
    """A classifier of feature vectors; ``n_classes_`` C and ``n_features_`` D are known after ``fit``."""

    n_classes_: int
    n_features_: int

    def fit(self, features: ArrayLike, labels: ArrayLike, n_classes: int | None = None) -> Self:
        """Learn from labelled features, and return the classifier itself.

        Args:
            features: (N, D), finite.
            labels: (N,) integers in 0 … C − 1.
            n_classes: C; by default the largest label + 1, or the rows of the weight that the classifier starts from.

        Raises:
            ValueError: A shape does not fit, a feature is not finite, or a label is out of range.
        """
        rows = _checked_features(features)
        truth = np.asarray(labels)
        if truth.shape != rows.shape[:1] or not np.issubdtype(truth.dtype, np.integer):
            raise ValueError(
                f"labels must be {len(rows)} integers, one for each row of features, "
                f"got {truth.dtype} of shape {truth.shape}"
            )
        if not len(truth):
            raise ValueError("features must hold at least one row")
        classes = self._default_classes(truth) if n_classes is None else n_classes
        if truth.min() < 0 or truth.max() >= classes:
            raise ValueError(f"labels must be in 0 … {classes - 1}, got {truth.min()} to {truth.max()}")
        self._learn(rows, truth.astype(np.int64), classes)
        self.n_classes_, self.n_features_ = classes, rows.shape[1]
        return self

    def scores(self, features: ArrayLike) -> NDArray[np.floating]:
        """Scores (N, C) of features (N, D): the higher, the likelier; −∞ for a class without training images.

        Raises ``NotFittedError`` before ``fit``, and ``ValueError`` for features of another width or not finite.
        """
        if not hasattr(self, "n_features_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(features, labels) first")
        rows = _checked_features(features)
        if rows.shape[1] != self.n_features_:
            raise ValueError(f"features must have the {self.n_features_} columns seen in fit, got {rows.shape[1]}")
        parts = [self._score(rows[start : start + _ROWS]) for start in range(0, max(1, len(rows)), _ROWS)]
        return np.concatenate(parts)

    def predict(self, features: ArrayLike) -> NDArray[np.int64]:
        """The best class (N,) of each row of features (N, D)."""
        return self.scores(features).argmax(axis=1)

    def _default_classes(self, labels: NDArray[np.integer]) -> int:
        return int(labels.max()) + 1

    @abstractmethod
    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        """Fit to checked features (N, D) and labels (N,)."""

    @abstractmethod
    def _score(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        """Scores (N, C) of checked features (N, D)."""


class LinearClassifier(FeatureClassifier):
    """A classifier whose scores are x·Wᵀ + b, so that it can become the head of a network.

    Attributes:
        weight_: (C, D) W.
        bias_: (C,) b; −∞ for a class without a training image.
    """

    weight_: NDArray[np.floating]
    bias_: NDArray[np.floating]

    def _score(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        return features @ self.weight_.T + self.bias_


def without_absent(bias: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.floating]:
    """The bias (C,), −∞ for each class that is not among ``labels``."""
    return np.where(np.bincount(labels, minlength=len(bias)) > 0, bias, -np.inf).astype(bias.dtype)


def checked_weight(weight: ArrayLike, shape: tuple[int, int] | None = None) -> NDArray[np.floating]:
    """The weight (C, D) of a linear classifier; raises ``ValueError`` for no finite matrix, or another ``shape``."""
    matrix = np.asarray(weight)
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating) or not np.isfinite(matrix).all():
        raise ValueError(f"weight must be a finite matrix (C, D) of floats, got {matrix.dtype} of shape {matrix.shape}")
    if shape is not None and matrix.shape != shape:
        raise ValueError(f"weight must have shape {shape}, classes by features, got {matrix.shape}")
    return matrix


def _checked_features(features: ArrayLike) -> NDArray[np.floating]:
    """Features as float32 or float64; half precision, in which sums overflow, becomes float32."""
    rows = np.asarray(features)
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError(f"features must have shape (N, D), got {rows.shape}")
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("features must be finite; some are NaN or infinite")
    return rows
