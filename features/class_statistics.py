"""Class statistics in one pass: counts, means, variances and the pooled within-class covariance.

Sums are kept in float64. Memory is C × D for the class sums and D × D for the scatter, for any number of images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: A within-class sum of squares below this share of the total sum of squares is the round-off of long sums.
_ROUND_OFF = 1e-12


class ClassStatistics:
    """Streaming class statistics of features of C classes and width D.

    Attributes:
        counts: (C,) int64, on the CPU.
        sums: (C, D) float64, sums of the features.
        squares: (C, D) float64, sums of their squares.
        scatter: (D, D) float64, Σ x xᵀ over all images.
    """

    def __init__(self, n_classes: int, dim: int) -> None:
        import torch

        self.counts = torch.zeros(n_classes, dtype=torch.int64)
        self.sums = torch.zeros(n_classes, dim, dtype=torch.float64)
        self.squares = torch.zeros(n_classes, dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)

    def to(self, device: torch.device | str) -> None:
        """Move the sums to a device, which must support float64."""
        self.sums, self.squares, self.scatter = (x.to(device) for x in (self.sums, self.squares, self.scatter))

    def require_finite(self, where: str) -> None:
        """Raise an `InputError` that names the dataset ``where`` if a sum is NaN or infinite."""
        import torch

        spoilt = int((~torch.isfinite(self.squares).all(dim=1)).sum())
        if spoilt:
            raise InputError(
                f"{where}: the backbone gave NaN or infinite features in {spoilt} classes; "
                f"check its weights, or give `precision` fp32"
            )

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Add features (B, D) of any float type, with labels (B,) int64, 0 to C − 1, on the CPU."""
        import torch

        x = features.to(self.sums.device).double()
        # One matrix product sums the batch by class: index_add_ of single rows has no fixed order on GPUs.
        present, place, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        member = (place == torch.arange(len(present))[:, None]).to(self.sums)
        self.counts[present] += counts
        present = present.to(x.device)
        self.sums.index_add_(0, present, member @ x)
        self.squares.index_add_(0, present, member @ (x * x))
        self.scatter.addmm_(x.T, x)

    def merge(self, other: ClassStatistics, classes: Tensor | None = None) -> None:
        """Add the statistics of other images, of the same width, and of the same classes or of ``classes``.

        Args:
            other: The statistics.
            classes: (P,) int64, the different classes that the rows of ``other`` are about.
        """
        rows: Tensor | slice = slice(None) if classes is None else classes
        self.counts[rows] += other.counts
        self.sums[rows] += other.sums.to(self.sums)
        self.squares[rows] += other.squares.to(self.squares)
        self.scatter += other.scatter.to(self.scatter)

    def means(self) -> NDArray[np.float32]:
        """Return the mean feature of each class, (C, D)."""
        return self._means().cpu().numpy().astype(np.float32)

    def variances(self) -> NDArray[np.float32]:
        """Return the population variance of each feature in each class, (C, D)."""
        variance = self.squares / self.counts[:, None].to(self.sums) - self._means().square()
        return variance.clamp_min(0).cpu().numpy().astype(np.float32)  # rounding may leave −1e-17

    def within_covariance(self) -> NDArray[np.float32]:
        """Return the pooled within-class covariance, (D, D): Σ_c Σ_{x in c} (x − m_c)(x − m_c)ᵀ / N.

        It is exactly 0 for features that do not vary within the classes, as with one image per class.
        """
        within = self.scatter - self._means().T @ self.sums
        still = within.diagonal() <= _ROUND_OFF * self.scatter.diagonal()
        within[still] = 0
        within[:, still] = 0
        return (within / self.counts.sum()).cpu().numpy().astype(np.float32)

    def _means(self) -> Tensor:
        return self.sums / self.counts[:, None].to(self.sums)
