"""Draws of the true class means from their empirical Bayes posterior.

The bootstrap is parametric, because a bank may hold only the mean, variance and count of each class. Noise around the
sample means would add the sampling error twice: sample means lie further apart than true means. The draws come from
the empirical Bayes posterior instead (Efron and Morris, JASA 1973; as a bootstrap: Laird and Louis, JASA 1987). Its
prior is Gaussian around a common centre, with the variance of the sample means less their error variance.

Images that a bank keeps are not resampled: the few images of a small class span few directions, so resampled means
would vary too much along these and not at all along the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from similarity.uncertainty.sampling_error import MeanCloud

#: Fewest classes that are shrunk: the James–Stein estimator around an estimated centre needs four.
_LEAST_CLASSES = 4
#: Lower bound of a feature's ratio of prior to error variance, relative to that of all features together. The estimate
#: for one feature from few classes is noisy, and if the true ratio is small, half of the estimates are below 0.
_LEAST_SPREAD = 0.5
#: Lower bound of the ratio of all features together. Without it, classes that differ by noise alone would all be drawn
#: at one point, and ties would be broken by the order of the bank in every replicate.
_LEAST_AVERAGE = 0.02
#: Iterations of the moment estimator in :func:`_prior`, which then has converged to three digits.
_ROUNDS = 10


class MeanSampler:
    """Draws the true class means of a bank from their posterior, in a geometry before scaling to length 1.

    For one feature with sample means x_c and error variances e_c, the prior of the true means is N(g, τ²) and the
    posterior N(g + k_c·(x_c − g), k_c·e_c) with the shrinkage factor k_c = τ² / (τ² + e_c). The centre g is drawn too,
    with the variance 1 / Σ_c 1/(τ² + e_c) of its estimate; τ² is fixed. Errors are correlated between features as in
    the cloud. Fewer than four classes are not shrunk (k = 1).
    """

    def __init__(self, cloud: MeanCloud) -> None:
        self._cloud = cloud
        lengths = np.linalg.norm(cloud.factor, axis=1)
        error = np.outer(cloud.error, lengths**2)
        centre, spread = _prior(cloud.points, error)
        precision = _inverse(spread + error)
        share = 1 - error * precision
        self._middle = centre + share * (cloud.points - centre)
        self._scale = np.sqrt(share)
        # A draw of the centre moves each mean by (1 − k) times its standard error; ``lengths`` are the standard
        # deviations of the noise that ``factor`` correlates.
        self._pull = (1 - share) * _inverse(lengths * np.sqrt(precision.sum(axis=0)))

    def draw(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """One draw of the (C, D) true means."""
        centre = generator.standard_normal(len(self._cloud.factor)) @ self._cloud.factor.T
        return self._middle + self._pull * centre + self._scale * self._cloud.draw_errors(generator)


def _prior(points: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and variance of the prior, (D,) each, by the method of moments.

    The variance is the weighted mean of (x_c − g)² − e_c over the classes, bounded below as ``_LEAST_SPREAD`` says. The
    weights are 1/(τ² + e_c) for the centre and their squares for the variance.
    """
    if len(points) < _LEAST_CLASSES:
        return points.mean(axis=0), np.full(points.shape[1], np.inf)
    average = error.mean(axis=0)
    spread = points.var(axis=0, ddof=1) - average
    least = _LEAST_SPREAD * max(float(spread.sum() * _inverse(average.sum())), _LEAST_AVERAGE) * average
    spread = np.maximum(spread, least)
    for _ in range(_ROUNDS):
        weights = _inverse(spread + error)
        centre = (weights * points).sum(axis=0) * _inverse(weights.sum(axis=0))
        weights **= 2
        beyond = (weights * (np.square(points - centre) - error)).sum(axis=0) * _inverse(weights.sum(axis=0))
        spread = np.maximum(beyond, least)
    return centre, spread


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / x, element by element; 0 for 0, a feature without variance and error."""
    return np.divide(1, values, where=values > 0, out=np.zeros_like(values))
