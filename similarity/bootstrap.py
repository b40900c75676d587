"""How far class means would move if as many images were drawn again.

A bank needs to keep no images, only the mean, variance and count of each class, so the bootstrap is
parametric: a class mean of n images is redrawn from a Gaussian around it with the class's variance
of each feature divided by n, features correlated as within the classes of the bank on average. Images
that a bank did keep are not resampled: the few images of a small class span too few directions, and
their means, drawn again, vary far too much along those and not at all along the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank

#: Share of independent noise that keeps a correlation matrix estimated in float32 positive definite.
_JITTER = 1e-4


class MeanSampler:
    """Draws the class means of a bank again.

    Args:
        bank: The bank.
    """

    def __init__(self, bank: FeatureBank) -> None:
        counts = bank.counts[:, None].astype(np.float64)
        # The bank's variance divides by n; the variance of a mean is estimated with n − 1. Of one image
        # there is nothing to estimate it from: the variance pooled over the bank stands in.
        pooled = np.diag(bank.within_covariance).astype(np.float64)
        variance = np.where(counts > 1, bank.variances / np.maximum(counts - 1, 1), pooled)
        self._means = bank.means.astype(np.float64)
        self._deviation = np.sqrt(variance)
        self._factor = covariance_factor(bank.within_covariance, correlation=True)
        self._least = 0.0 if self._means.min() >= 0 else -np.inf  # what a rectifier keeps from being negative

    def draw(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """(C, D) class means, drawn once. Features that are nowhere negative stay so."""
        noise = generator.standard_normal(self._means.shape)
        return np.maximum(self._means + self._deviation * (noise @ self._factor.T), self._least)


def covariance_factor(covariance: NDArray[np.floating], *, correlation: bool = False) -> NDArray[np.float64]:
    """A square root F of a covariance that may be short of rank: F·Fᵀ is the covariance, but for round-off.

    Args:
        covariance: (D, D) symmetric, positive semi-definite up to the round-off of float32.
        correlation: Return a square root of the correlation matrix instead; 1 for a feature without variance.

    Returns:
        (D, D) lower triangular.
    """
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0).astype(np.float64))
    scale = np.where(deviation > 0, deviation, 1)
    matrix = covariance / np.outer(scale, scale)
    matrix *= 1 - _JITTER
    np.fill_diagonal(matrix, 1)
    factor = np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    return factor if correlation else deviation[:, None] * factor
