"""Where the true class means may lie, seen from those of the images that happened to be drawn.

A bank needs to keep no images, only the mean, variance and count of each class, so the bootstrap is parametric. Noise
around the sample means would add their errors a second time: sample means lie further from each other than the true
ones. What is drawn is the posterior of empirical Bayes instead (Efron and Morris, JASA 1973; as a bootstrap: Laird and
Louis, JASA 1987): the true means are Gaussian around a common centre, with the variance that the sample means have
beyond their errors.

Images that a bank did keep are not resampled: the few images of a small class span too few directions, and their
means, drawn again, vary far too much along those and not at all along the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from similarity.uncertainty.sampling_error import MeanCloud

#: Fewest classes whose spread tells how far true means lie apart: the James–Stein estimate around a mean needs four.
_LEAST_CLASSES = 4
#: Least variance of a feature's true means over its error variance, relative to that of all features together: of few
#: classes each single one is badly known, and taken for 0 every other time where it is small.
_LEAST_SPREAD = 0.5
#: The least that all features together are taken to have. Classes that noise alone tells apart would coincide
#: otherwise, and be chosen in the order of the bank, as if that were known.
_LEAST_AVERAGE = 0.02
#: Rounds of the moment estimate below; it has settled to three digits.
_ROUNDS = 10


class MeanSampler:
    """Draws the true class means of a bank, in a geometry before points are scaled to length 1.

    For a feature of sample means x_c with error variances e_c the true means have centre g, variance τ² and, given
    x_c, the distribution N(g + k_c·(x_c − g), k_c·e_c), k_c = τ² / (τ² + e_c). The centre is drawn too, with the
    variance 1 / Σ_c 1/(τ² + e_c) of its estimate; τ² is not. Errors of different features are correlated as those of
    the cloud are; fewer than four classes are not drawn towards each other (k = 1).

    Args:
        cloud: The sample means and their errors.
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
        # What the centre's draw moves each mean by, in units of the errors that ``factor`` makes of white noise.
        self._pull = (1 - share) * _inverse(lengths * np.sqrt(precision.sum(axis=0)))

    def draw(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """(C, D) means, drawn once."""
        centre = generator.standard_normal(len(self._cloud.factor)) @ self._cloud.factor.T
        return self._middle + self._pull * centre + self._scale * self._cloud.draw_errors(generator)


def _prior(points: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and variance, (D,) each, of the true means of each feature.

    The variance is that of the sample means around the centre less their error variances, each class weighted by how
    well it is known: the weights of the centre, squared.
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
    """One over each value; 0 for 0, which stands for a feature that neither varies nor errs."""
    return np.divide(1, values, where=values > 0, out=np.zeros_like(values))
