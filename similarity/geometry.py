"""Ground metrics: where class means go so that Euclidean distance compares them fairly.

The paper (Cui et al., CVPR 2018) measures between raw means. Features of a network with a rectified
last layer share a large common component, and a class whose mean has a small norm then lies near
everything: a hub. The other geometries take that away step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice

#: Name and meaning of every geometry, in the order of their steps.
GEOMETRIES = {
    "euclidean": "the raw means, as in the paper",
    "cosine": "means scaled to length 1",
    "centred": "the mean over all source classes taken off, then scaled to length 1",
    "whitened": "centred, whitened by the within-class covariance, then scaled to length 1",
    "sqrt-whitened": "the square root of the means first, where none is negative; then whitened",
}
#: What finds related classes best: see ``benchmarks/selection_quality.py``.
DEFAULT_GEOMETRY = "sqrt-whitened"
#: Least mean of a feature, relative to the average feature, at which the square root still has a slope.
_LEAST_MEAN = 1e-3


@dataclass(frozen=True, eq=False)
class Geometry:
    """A fitted geometry: the same map for every bank of one comparison.

    Attributes:
        name: One of :data:`GEOMETRIES`.
        centre: (D,) what is subtracted first, or None.
        whitening_factor: (D, D) lower Cholesky factor L of the covariance that is whitened by (points
            become L⁻¹·x, whose distances are Mahalanobis distances), or None.
        unit_length: Whether points are scaled to length 1 at last. A point at the centre stays there.
        slope: (D,) derivative, at the mean of the source classes, of the square root that is taken of the means
            first; None where none is taken.
    """

    name: str
    centre: NDArray[np.float64] | None = None
    whitening_factor: NDArray[np.float64] | None = None
    unit_length: bool = False
    slope: NDArray[np.float64] | None = None

    def points(self, means: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where class means go.

        Args:
            means: (C, D) class means.

        Returns:
            (C, D) float64 points; their Euclidean distance is the ground metric.
        """
        points = np.array(means, dtype=np.float64)
        if self.slope is not None:
            points = np.sqrt(np.maximum(points, 0))
        if self.centre is not None:
            points -= self.centre
        if self.whitening_factor is not None:
            points = solve_triangular(self.whitening_factor, points.T, lower=True, check_finite=False).T
        if self.unit_length:
            norms = np.linalg.norm(points, axis=1, keepdims=True)
            points /= np.where(norms > 0, norms, 1)
        return points


def fit_geometry(name: str, targets: Sequence[FeatureBank], sources: Sequence[FeatureBank]) -> Geometry:
    """Fit a geometry to all banks of one comparison, so that every pair is measured alike.

    The centre is the mean of the class means of all sources, each class counting once: points are
    classes, and by images a few head classes of a long tail would be the centre. The targets stay
    out of it: a target of few, related classes would pull the centre into itself.

    The covariance is the within-class covariance of all banks, sources and targets, pooled by their
    numbers of images, plus its mean eigenvalue on the diagonal: a shrinkage without a knob, which keeps
    directions of little variance from being blown up. Where it is zero (one image a class) nothing is
    known of it and ``whitened`` is ``centred``.

    A single source class would be the centre itself, and as far from one target as from any other.

    Pooled features after a rectifier are not negative, and vary the more the larger their mean: the square
    root brings the variances nearer to each other (Tukey's ladder of powers; used on few-shot features by
    Yang et al., ICLR 2021). The covariance is carried along to first order, by the slope at the mean of the
    source classes. Features of other networks can be negative; ``sqrt-whitened`` is ``whitened`` for them.

    Args:
        name: One of :data:`GEOMETRIES`.
        targets: The target banks, at least one.
        sources: The source banks, at least one, already cut to the classes that take part.

    Raises:
        InputError: There is no geometry of that name, the banks cannot be compared, or the sources have one class
            in all and the geometry takes their centre off.
    """
    if name not in GEOMETRIES:
        raise InputError(f"`geometry` {name}: there is no such geometry; {choice(name, GEOMETRIES)}")
    banks = [*targets, *sources]
    for bank in banks[1:]:
        banks[0].require_comparable(bank)
        if bank.means.shape[1] != banks[0].means.shape[1]:
            raise InputError(
                f"{banks[0].name} and {bank.name} cannot be compared: features of width "
                f"{banks[0].means.shape[1]} and {bank.means.shape[1]}; extract both with the same backbone"
            )
    if name in ("euclidean", "cosine"):
        return Geometry(name, unit_length=name == "cosine")
    means = np.concatenate([bank.means for bank in sources]).astype(np.float64)
    if len(means) == 1:
        raise InputError(
            f"`geometry` {name}: takes the mean of the source classes off, but there is only one source class, which "
            f"would be as far from any target as from another; give more sources, or `geometry` euclidean"
        )
    slope = None
    if name == "sqrt-whitened" and min(bank.means.min() for bank in banks) >= 0:
        average = means.mean(axis=0)
        least = _LEAST_MEAN * average.mean() or 1.0  # where all is zero, any slope will do
        slope = 0.5 / np.sqrt(np.maximum(average, least))
        means = np.sqrt(means)
    factor = None if name == "centred" else whitening_factor(banks, slope)
    return Geometry(name, means.mean(axis=0), factor, unit_length=True, slope=slope)


def whitening_factor(
    banks: Sequence[FeatureBank], slope: NDArray[np.float64] | None = None
) -> NDArray[np.float64] | None:
    """Cholesky factor of the pooled, shrunk within-class covariance; None where that is zero.

    Args:
        banks: Whose covariances are pooled.
        slope: (D,) derivative of what has been done to each feature, None for nothing.
    """
    if all(bank.counts.max() == 1 for bank in banks):
        return None  # whatever the banks hold is round-off
    images = np.array([bank.counts.sum() for bank in banks], dtype=np.float64)
    pooled = np.zeros(banks[0].within_covariance.shape)
    for bank, share in zip(banks, images / images.sum(), strict=True):
        pooled += share * bank.within_covariance
    if slope is not None:
        pooled *= np.outer(slope, slope)
    mean_eigenvalue = np.trace(pooled) / len(pooled)
    if not mean_eigenvalue > 0:
        return None
    pooled[np.diag_indices_from(pooled)] += mean_eigenvalue
    return np.asarray(np.linalg.cholesky(pooled), dtype=np.float64)
