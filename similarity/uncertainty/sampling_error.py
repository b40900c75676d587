"""Class means of a bank in a geometry, and their sampling error.

The sampling error of a class mean of n images has the class's covariance divided by n. The shape of the covariance is
estimated from the whole bank and its trace from the class, because a few images determine the trace but not the shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import brentq
from scipy.special import chdtri

from features.bank import FeatureBank
from similarity.geometry import Geometry

#: Lower bound of the apparent share of a covariance after whitening by an estimate from the same images.
_LEAST_LEFT = 0.1
#: Degrees of freedom of the Wishart distribution around the bank's covariance that models the covariance of a class. It
#: determines how much the trace, and so the size of the drawn errors, varies between classes; and how many directions a
#: class spans, and so how well its images determine the trace. Measured on CIFAR-100 (EfficientNet-Lite0, 1280
#: features): 81 for raw features (classes span 60 directions, the pooled covariance 227) and 195 for whitened ones (160
#: and 894).
_CLASS_FREEDOM = 100
#: Degrees of freedom of the χ² distribution that models squared lengths of whitened images from their class mean: 8 to
#: 12 on the same features, which are heavy-tailed. For Gaussian features (30 and more) errors are 4 to 8 % too large.
_IMAGE_FREEDOM = 12
#: Quantiles that represent that distribution.
_STEPS = 20
#: Share of independent noise that keeps a correlation matrix estimated in float32 positive definite.
_JITTER = 1e-4
#: Variance, relative to the largest, below which a feature counts as constant: round-off of sums in float64.
_ROUND_OFF = 1e-12


@dataclass(frozen=True, eq=False)
class MeanCloud:
    """Class means in a geometry, before scaling to length 1, and their sampling errors.

    Attributes:
        points: (C, D) sample means.
        weights: (C,) share of each class in the images.
        error: (C,) expected squared length of each point's sampling error.
        factor: (D, D) square root of the error covariance, scaled to trace 1 and shared by all classes.
        freedom: (C,) degrees of freedom of the estimate ``error``.
    """

    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    error: NDArray[np.float64]
    factor: NDArray[np.float64]
    freedom: NDArray[np.float64]

    def draw_errors(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """One draw of the (C, D) sampling errors."""
        noise = generator.standard_normal(self.points.shape) @ self.factor.T
        size = self.error * generator.chisquare(_CLASS_FREEDOM, len(self.error)) / _CLASS_FREEDOM
        return np.sqrt(size)[:, None] * noise

    def draw_error_sizes(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """One draw of the (C,) estimates of ``error`` from another sample of images."""
        return self.error * generator.chisquare(self.freedom) / self.freedom


def mean_clouds(metric: Geometry, banks: Sequence[FeatureBank]) -> list[MeanCloud]:
    """The class means of each bank in a geometry, with their sampling errors.

    Whitening is fitted to the same images as the means, so the whitened within-class covariance is biased downwards.
    With G = (Σ̂ + λI)⁻¹ from N images, an image whose squared length is u = xᵀGx if Σ̂ leaves it out has u / (1 + u/N) if
    Σ̂ includes it (Sherman and Morrison, 1950). All squared lengths are multiplied by the one factor for which the
    expected included lengths have the observed mean. For equal lengths this is generalised cross-validation (Golub,
    Heath and Wahba, 1979), which is too small a correction if lengths vary between classes and images.

    The geometry is fitted to ``banks``, all of the comparison. A bank with one image for each class, or of class means
    alone, does not determine its errors; they are taken from the bank that has the most images of those that do. If no
    bank does, errors are 0. See :func:`errors_unknown` for banks whose errors cannot be told at all.
    """
    before_length = replace(metric, unit_length=False)
    spreads = [_spread(metric, bank) for bank in banks]
    inflation = 1.0
    if metric.whitening_factor is not None:
        of_images, counts = [own.of_image for own in spreads], [bank.counts for bank in banks]
        inflation = _inflation(np.concatenate(of_images), np.concatenate(counts))
    best = spreads[int(np.argmax([bank.counts.sum() * own.known for bank, own in zip(banks, spreads, strict=True)]))]
    clouds = []
    for bank, own in zip(banks, spreads, strict=True):
        spread = own if own.known else best
        of_image = own.of_image if own.known else np.full(len(bank.counts), best.of_image.mean())
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


def errors_unknown(banks: Sequence[FeatureBank]) -> str | None:
    """Why the sampling errors of the class means of some banks cannot be told, in words; None if they can."""
    if uncounted := [bank.name for bank in banks if not bank.counts_known]:
        return f"of {uncounted[0]} the number of images of each class is not known"
    spread = [bank for bank in banks if bank.variances is not None and bank.within_covariance is not None]
    if not spread:
        return "no bank says how the images of a class vary"
    return "every class has one image" if all(bank.counts.max() == 1 for bank in spread) else None


@dataclass(frozen=True, eq=False)
class _Spread:
    """The within-class covariance of a bank in a geometry.

    Attributes:
        known: Whether the bank determines it; if not, all values are 0.
        of_image: (C,) unbiased estimate of the trace of each class's covariance.
        factor: (D, D) square root of the pooled covariance, scaled to trace 1.
        dimensions: Effective number of dimensions of one class, tr(Σ)² / tr(Σ²).
    """

    known: bool
    of_image: NDArray[np.float64]
    factor: NDArray[np.float64]
    dimensions: float


def _inflation(of_image: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Ratio of the whitened covariance of new images to that of the images that whitening was fitted to.

    It is the κ, 1 to 10, that solves Σ_c (n_c − 1)·E[κξh_c / (1 + κξh_c/N)] = Σ_c (n_c − 1)·h_c, where h_c is the trace
    of each class's covariance over the images of the fit, and ξ a χ² variable scaled to mean 1.
    """
    freedom, images = counts - 1.0, float(counts.sum())
    inside = float(freedom @ of_image)
    lengths = chdtri(_IMAGE_FREEDOM, 1 - (np.arange(_STEPS) + 0.5) / _STEPS)
    share = np.outer(of_image / images, lengths / lengths.mean())

    def beyond(inflation: float) -> float:
        seen = inflation * share
        return images * float(freedom @ (seen / (1 + seen)).mean(axis=1)) - inside

    most = 1 / _LEAST_LEFT
    if inside <= 0:
        return 1.0
    return float(brentq(beyond, 1.0, most)) if beyond(most) > 0 else most


def _spread(metric: Geometry, bank: FeatureBank) -> _Spread:
    """The within-class covariance of a bank after the geometry's square root (to first order) and whitening."""
    counts = bank.counts.astype(np.float64)
    if bank.variances is None or bank.within_covariance is None:
        return _Spread(False, np.zeros(len(counts)), np.zeros((bank.means.shape[1],) * 2), 1.0)
    variances, covariance = bank.variances.astype(np.float64), bank.within_covariance.astype(np.float64)
    if metric.slope is not None:
        variances, covariance = variances * metric.slope**2, covariance * np.outer(metric.slope, metric.slope)
    stored = float(np.trace(covariance))
    several = counts > 1
    if stored <= 0 or not several.any():
        return _Spread(False, np.zeros(len(counts)), np.zeros_like(covariance), 1.0)
    factor = covariance_factor(covariance)
    if metric.whitening_factor is not None:
        factor = solve_triangular(metric.whitening_factor, factor, lower=True, check_finite=False)
    trace = float(np.einsum("de,de->", factor, factor))
    factor /= np.sqrt(trace)
    of_image = variances.sum(axis=1) * (trace / stored)  # population variance around the class's own mean
    of_image *= counts / np.maximum(counts - 1, 1)
    of_image[~several] = np.average(of_image[several], weights=counts[several] - 1)
    dimensions = 1 / (float(np.square(factor.T @ factor).sum()) + 1 / _CLASS_FREEDOM)
    return _Spread(True, of_image, factor, dimensions)


def covariance_factor(covariance: NDArray[np.floating]) -> NDArray[np.float64]:
    """A square root F of a possibly singular covariance: F·Fᵀ equals it up to a share of 1e-4 of its correlations.

    F is lower triangular, with zero rows for constant features, whose variance round-off can leave slightly negative.
    """
    variance = np.diag(covariance).astype(np.float64)
    still = variance <= _ROUND_OFF * max(float(variance.max()), 0.0)
    deviation = np.sqrt(np.where(still, 0, variance))
    scale = np.where(still, 1, deviation)
    matrix = covariance / np.outer(scale, scale)
    matrix *= 1 - _JITTER
    matrix[still] = 0
    matrix[:, still] = 0
    np.fill_diagonal(matrix, 1)
    return np.asarray(deviation[:, None] * np.linalg.cholesky(matrix), dtype=np.float64)
