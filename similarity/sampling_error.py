"""Where the class means of a bank lie in a geometry, and how far off a sample of images puts them.

The error of a class mean of n images has the within-class covariance divided by n. Its shape is taken
from the whole bank, its size from the class: a few images tell the size of a covariance, not its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from features.bank import FeatureBank
from similarity.bootstrap import covariance_factor
from similarity.geometry import Geometry

#: Least share of the degrees of freedom that whitening is taken to leave over.
_LEAST_LEFT = 0.1
#: A class's covariance is taken to be the bank's but for the sampling of a Wishart matrix of so many degrees of
#: freedom, which makes lengths of errors vary more. Measured on CIFAR-100 (EfficientNet-Lite0, 1280 features), whose
#: classes span 60 directions where their pooled covariance spans 227 (raw), 160 against 894 (whitened): 81 and 195.
_CLASS_FREEDOM = 100


@dataclass(frozen=True, eq=False)
class MeanCloud:
    """Class means in a geometry, before they are scaled to length 1, and their sampling error.

    Attributes:
        points: (C, D) the means.
        weights: (C,) share of each class in the images.
        error: (C,) expected squared length of each point's sampling error.
        factor: (D, D) square root of the errors' covariance, shared by the classes and scaled to trace 1.
        freedom: (C,) degrees of freedom behind ``error``.
    """

    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    error: NDArray[np.float64]
    factor: NDArray[np.float64]
    freedom: NDArray[np.float64]

    def draw_errors(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """(C, D) sampling errors, drawn once."""
        noise = generator.standard_normal(self.points.shape) @ self.factor.T
        size = self.error * generator.chisquare(_CLASS_FREEDOM, len(self.error)) / _CLASS_FREEDOM
        return np.sqrt(size)[:, None] * noise

    def draw_error_sizes(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """(C,) ``error`` as another sample of images would estimate it."""
        return self.error * generator.chisquare(self.freedom) / self.freedom


def mean_clouds(metric: Geometry, banks: Sequence[FeatureBank]) -> list[MeanCloud]:
    """The means of each bank in a geometry, with their sampling errors.

    Whitening is fitted to the same images as the means, so it makes the within-class covariance look smaller
    than it is to other images. For G = (Σ̂ + λI)⁻¹ of N degrees of freedom, tr(GΣ) is close to tr(GΣ̂) / (1 −
    tr(GΣ̂)/N), the factor of generalised cross-validation (Golub, Heath and Wahba, 1979).

    Args:
        metric: Fitted to ``banks``.
        banks: All banks of the comparison. One that has one image a class says nothing of its errors; they are
            taken to be those of the largest other. Where no bank has more, errors are 0.
    """
    before_length = replace(metric, unit_length=False)
    spreads = [_spread(metric, bank) for bank in banks]
    images = np.array([bank.counts.sum() for bank in banks], dtype=np.float64)
    freedom = images.sum() - sum(len(bank.classes) for bank in banks)
    inflation = 1.0
    if metric.whitening_factor is not None and freedom > 0:
        trace = images @ [spread.trace for spread in spreads] / images.sum()
        inflation = 1 / max(1 - trace / freedom, _LEAST_LEFT)
    best = spreads[int(np.argmax(images * [spread.trace > 0 for spread in spreads]))]
    clouds = []
    for bank, own in zip(banks, spreads, strict=True):
        known = own.trace > 0
        spread = own if known else best
        of_image = own.of_image if known else np.full(len(bank.counts), best.of_image.mean())
        clouds.append(
            MeanCloud(
                points=before_length.points(bank.means),
                weights=bank.counts / bank.counts.sum(),
                error=inflation * of_image / bank.counts,
                factor=spread.factor,
                freedom=np.maximum(bank.counts - 1, 1) * spread.dimensions,
            )
        )
    return clouds


@dataclass(frozen=True, eq=False)
class _Spread:
    """The within-class covariance of a bank in a geometry.

    Attributes:
        trace: Its trace, as the bank stores it (divided by images, not by degrees of freedom).
        of_image: (C,) trace of each class's own covariance, without bias.
        factor: (D, D) square root of it, scaled to trace 1.
        dimensions: How many directions of equal variance one class amounts to, tr(Σ)² / tr(Σ²).
    """

    trace: float
    of_image: NDArray[np.float64]
    factor: NDArray[np.float64]
    dimensions: float


def _spread(metric: Geometry, bank: FeatureBank) -> _Spread:
    """The spread of a bank, carried along with its features to first order."""
    counts = bank.counts.astype(np.float64)
    variances, covariance = bank.variances.astype(np.float64), bank.within_covariance.astype(np.float64)
    if metric.slope is not None:
        variances, covariance = variances * metric.slope**2, covariance * np.outer(metric.slope, metric.slope)
    stored = float(np.trace(covariance))
    totals, freedom = variances.sum(axis=1), counts - 1
    if stored <= 0 or not freedom.any():
        return _Spread(0.0, np.zeros(len(counts)), np.zeros_like(covariance), 1.0)
    average = counts @ totals / freedom.sum()
    totals = np.where(freedom > 0, totals * counts / np.maximum(freedom, 1), average)
    factor = covariance_factor(covariance)
    if metric.whitening_factor is not None:
        factor = solve_triangular(metric.whitening_factor, factor, lower=True, check_finite=False)
    trace = float(np.einsum("de,de->", factor, factor))
    factor /= np.sqrt(trace)
    dimensions = 1 / (float(np.square(factor.T @ factor).sum()) + 1 / _CLASS_FREEDOM)
    return _Spread(trace, totals * (trace / stored), factor, dimensions)
