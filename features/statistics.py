"""Class statistics in one pass: counts, means, variances and the pooled within-class covariance.

Sums are kept in float64. Memory is C × D for the class sums and D × D for the scatter, whatever the
number of images.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ClassStatistics:
    """Streaming statistics of features by class.

    Args:
        n_classes: C.
        dim: Width D of the features.
    """

    def __init__(self, n_classes: int, dim: int) -> None:
        self.counts = torch.zeros(n_classes, dtype=torch.int64)
        self.sums = torch.zeros(n_classes, dim, dtype=torch.float64)
        self.squares = torch.zeros(n_classes, dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Count a batch in.

        Args:
            features: (B, D), any float type.
            labels: (B,) int64, 0 to C − 1.
        """
        x = features.to(torch.float64)
        self.counts += torch.bincount(labels, minlength=len(self.counts))
        self.sums.index_add_(0, labels, x)
        self.squares.index_add_(0, labels, x * x)
        self.scatter.addmm_(x.T, x)

    def merge(self, other: ClassStatistics) -> None:
        """Count in what another pass over other images has counted."""
        self.counts += other.counts
        self.sums += other.sums
        self.squares += other.squares
        self.scatter += other.scatter

    def means(self) -> NDArray[np.float32]:
        """(C, D) mean feature of each class."""
        return (self.sums / self.counts[:, None]).numpy().astype(np.float32)

    def variances(self) -> NDArray[np.float32]:
        """(C, D) population variance of each feature in each class."""
        mean = self.sums / self.counts[:, None]
        variance = self.squares / self.counts[:, None] - mean * mean
        return variance.clamp_min(0).numpy().astype(np.float32)  # rounding may leave −1e-17

    def within_covariance(self) -> NDArray[np.float32]:
        """(D, D) pooled within-class covariance: Σ_c Σ_{x in c} (x − m_c)(x − m_c)ᵀ / N."""
        between = (self.sums / self.counts[:, None]).T @ self.sums
        return ((self.scatter - between) / self.counts.sum()).numpy().astype(np.float32)
