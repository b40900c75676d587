"""How far class means would move if as many images were drawn again, and what that does to a distance.

A bank keeps no images, only the mean, variance and count of each class, so the bootstrap is
parametric: a class mean of n images is redrawn from a Gaussian around it with the class's variance
of each feature divided by n, features correlated as within the classes of the bank on average.
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
        scale = np.sqrt(np.where(pooled > 0, pooled, 1))
        correlation = bank.within_covariance / np.outer(scale, scale)
        correlation *= 1 - _JITTER
        np.fill_diagonal(correlation, 1)
        self._factor = np.linalg.cholesky(correlation)

    def draw(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """(C, D) class means, drawn once."""
        noise = generator.standard_normal(self._means.shape)
        return self._means + self._deviation * (noise @ self._factor.T)


def basic_interval(value: float, replicates: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Interval of a distance by the basic (pivotal) bootstrap, made to hold the distance itself.

    Noise in the means pushes points apart, so a distance between sample means is larger than between
    the true ones, and a replicate, which adds the same noise again, larger still. The plain
    percentiles of the replicates would lie off on the wrong side. The basic interval reflects
    them: replicates stand to the value as the value stands to the truth,

        [2·value − q(1 − α/2), 2·value − q(α/2)].

    Where classes have few images, all of it can lie below the value; it is then stretched up to the
    value, so that an interval always holds the figure that it is printed beside.

    Args:
        value: The distance of the means as they are, at least 0.
        replicates: (B,) distances of means drawn again.
        level: Share of cases in which the interval is to hold the true distance, 0 to 1.

    Returns:
        Its lower and upper end, at least 0.
    """
    tail = (1 - level) / 2
    low, high = 2 * value - np.quantile(replicates, [1 - tail, tail])
    return max(0.0, min(float(low), value)), max(float(high), value)
