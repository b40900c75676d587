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
from scipy.optimize import brentq
from scipy.stats import chi2

from features.bank import FeatureBank
from similarity.geometry import Geometry

#: Least share of a covariance that whitening by it is taken to show.
_LEAST_LEFT = 0.1
#: A class's covariance is taken to be the bank's but for the sampling of a Wishart matrix of so many degrees of
#: freedom. One assumption with two ends: its trace varies, and with it the lengths of the errors that are drawn; and
#: it spans fewer directions than the bank's, which says how well so many images tell its trace. Measured on CIFAR-100
#: (EfficientNet-Lite0, 1280 features), whose classes span 60 directions where their pooled covariance spans 227 (raw),
#: 160 against 894 (whitened): 81 and 195.
_CLASS_FREEDOM = 100
#: Squared lengths of whitened images, seen from the mean of their class, vary as a χ² of so many degrees of freedom:
#: 8 to 12 on the same features, which have long tails. Errors of Gaussian ones (30 and more) come out 4 to 8 % too
#: large.
_IMAGE_FREEDOM = 12
#: Lengths that stand for that distribution.
_STEPS = 20
#: Share of independent noise that keeps a correlation matrix estimated in float32 positive definite.
_JITTER = 1e-4
#: Share of the largest variance below which a feature is taken not to vary: the round-off of sums in float64.
_ROUND_OFF = 1e-12


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
    than it is to other images. With G = (Σ̂ + λI)⁻¹ of N images, an image of length u = xᵀGx when it is left out of Σ̂
    has u / (1 + u/N) as a part of it (Sherman and Morrison, 1950). All lengths are enlarged by the one factor at which
    the lengths seen have the mean that was found. If all were equal that would be generalised cross-validation
    (Golub, Heath and Wahba, 1979), which is short where classes, and the images of a class, vary differently.

    Args:
        metric: Fitted to ``banks``.
        banks: All banks of the comparison. One that has one image a class says nothing of its errors; they are
            taken to be those of the largest other. Where no bank has more, errors are 0.
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


@dataclass(frozen=True, eq=False)
class _Spread:
    """The within-class covariance of a bank in a geometry.

    Attributes:
        known: Whether the bank says anything of it; otherwise all is 0.
        of_image: (C,) trace of each class's own covariance, without bias.
        factor: (D, D) square root of it, scaled to trace 1.
        dimensions: How many directions of equal variance one class amounts to, tr(Σ)² / tr(Σ²).
    """

    known: bool
    of_image: NDArray[np.float64]
    factor: NDArray[np.float64]
    dimensions: float


def _inflation(of_image: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """How much larger the covariance is to other images than to those that a geometry whitens by.

    Args:
        of_image: (C,) trace of each class's covariance as those images show it.
        counts: (C,) images of each class.

    Returns:
        κ of at least 1 with Σ_c (n_c − 1)·E[κh_c / (1 + κh_c/N)] = Σ_c (n_c − 1)·h_c, h_c the traces.
    """
    freedom, images = counts - 1.0, float(counts.sum())
    inside = float(freedom @ of_image)
    lengths = chi2.ppf((np.arange(_STEPS) + 0.5) / _STEPS, _IMAGE_FREEDOM)
    share = np.outer(of_image / images, lengths / lengths.mean())

    def beyond(inflation: float) -> float:
        seen = inflation * share
        return images * float(freedom @ (seen / (1 + seen)).mean(axis=1)) - inside

    most = 1 / _LEAST_LEFT
    if inside <= 0:
        return 1.0
    return float(brentq(beyond, 1.0, most)) if beyond(most) > 0 else most


def _spread(metric: Geometry, bank: FeatureBank) -> _Spread:
    """The spread of a bank, carried along with its features to first order."""
    counts = bank.counts.astype(np.float64)
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
    of_image = variances.sum(axis=1) * (trace / stored)  # of the class's images, seen from their own mean
    of_image *= counts / np.maximum(counts - 1, 1)
    of_image[~several] = np.average(of_image[several], weights=counts[several] - 1)
    dimensions = 1 / (float(np.square(factor.T @ factor).sum()) + 1 / _CLASS_FREEDOM)
    return _Spread(True, of_image, factor, dimensions)


def covariance_factor(covariance: NDArray[np.floating]) -> NDArray[np.float64]:
    """A square root F of a covariance that may be short of rank: F·Fᵀ is the covariance, but for round-off.

    Args:
        covariance: (D, D) symmetric, positive semi-definite up to round-off: that of float32, and in features that
            do not vary that of sums in float64, which may leave variances of either sign.

    Returns:
        (D, D) lower triangular; rows of 0 for features that do not vary.
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
