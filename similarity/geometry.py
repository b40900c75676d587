"""Geometries: maps of class means to points whose Euclidean distance is the ground metric.

The paper (Cui et al., CVPR 2018) measures between raw means. Features of a network with a rectified last layer share a
large common component, and a class whose mean has a small norm then lies near everything: it is a hub. The other
geometries remove this step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from features.bank import FeatureBank
from features.infrastructure.catalogue import Catalogue
from features.infrastructure.console import say_once
from features.infrastructure.errors import InputError


@dataclass(frozen=True)
class GeometryRow:
    """A geometry by its steps, which are taken in the order of the fields.

    Attributes:
        name: What the user types.
        meaning: One line that names the steps.
        square_root: Take the square root of the means, if the features are rectified.
        centre: Subtract the mean over all source classes.
        whiten: Whiten by the within-class covariance, if a bank knows it.
        unit_length: Scale each point to length 1.
    """

    name: str
    meaning: str
    square_root: bool = False
    centre: bool = False
    whiten: bool = False
    unit_length: bool = False


#: Every geometry by name. A new one is a row in a module of :mod:`similarity.geometries`.
GEOMETRIES = Catalogue("geometry", GeometryRow, "similarity.geometries", "transfer.geometries")
#: The geometry that finds related classes best: see ``benchmarks/selection_quality.py``.
DEFAULT_GEOMETRY = "sqrt-whitened"
#: Banks that a message names.
_LISTED = 3
#: Rows that are mapped at a time.
_ROWS = 1 << 16
#: Least mean of a feature, relative to the average feature, at which the slope of the square root is taken.
_LEAST_MEAN = 1e-3
#: Largest share of a feature's scale by which a mean may be negative and count as round-off of a rectified feature.
_ROUND_OFF = 1e-4


@dataclass(frozen=True, eq=False)
class Geometry:
    """A fitted geometry: the same map for every bank of one comparison. Its fields say which steps are taken.

    Attributes:
        name: One of :data:`GEOMETRIES`.
        centre: (D,) subtracted from the means, or None.
        whitening_factor: (D, D) lower Cholesky factor L of the covariance, or None. Points become L⁻¹·x, whose
            distances are Mahalanobis distances.
        unit_length: Whether points are scaled to length 1 in the end. A point at the centre stays there.
        slope: (D,) derivative of the square root at the mean of the source classes; None if no square root is taken.
    """

    name: str
    centre: NDArray[np.float64] | None = None
    whitening_factor: NDArray[np.float64] | None = None
    unit_length: bool = False
    slope: NDArray[np.float64] | None = None

    @property
    def square_root(self) -> bool:
        """Whether the square root of the means is taken; negative means count as 0."""
        return self.slope is not None

    @property
    def description(self) -> str:
        """The steps that are taken, such as ``square root, centred, whitened, unit length``."""
        taken = self.square_root, self.centre is not None, self.whitening_factor is not None, self.unit_length
        return ", ".join(compress(("square root", "centred", "whitened", "unit length"), taken)) or "raw means"

    def points(self, means: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map (C, D) class means to (C, D) float64 points, whose Euclidean distance is the ground metric."""
        points = np.array(means, dtype=np.float64)
        for start in range(0, len(points), _ROWS):
            block = points[start : start + _ROWS]
            if self.square_root:
                np.sqrt(np.maximum(block, 0, out=block), out=block)
            if self.centre is not None:
                block -= self.centre
            if self.whitening_factor is not None:
                block[:] = solve_triangular(self.whitening_factor, block.T, lower=True, check_finite=False).T
            if self.unit_length:
                norms = np.linalg.norm(block, axis=1, keepdims=True)
                block /= np.where(norms > 0, norms, 1)
        return points


def fit_geometry(name: str, targets: Sequence[FeatureBank], sources: Sequence[FeatureBank]) -> Geometry:
    """Fit a geometry to all banks of one comparison, so that every pair is measured alike.

    The centre is the mean of the class means of all sources. Each class counts once: weighted by images, a few head
    classes of a long tail would determine the centre. The targets do not count: a target of few, related classes would
    pull the centre towards itself.

    Pooled features after a rectifier are not negative, and vary the more the larger their mean is. The square root
    brings the variances nearer to each other (Tukey's ladder of powers; Yang et al., ICLR 2021, for few-shot features).
    The covariance is propagated to first order, by the slope at the mean of the source classes. Features of other
    networks can be negative: no square root is taken of them. See :func:`are_rectified` for round-off.

    Args:
        name: One of :data:`GEOMETRIES`.
        targets: The target banks, at least one.
        sources: The source banks, at least one, already reduced to the classes that take part.

    Raises:
        InputError: Unknown name, banks that cannot be compared, or a single source class for a geometry that subtracts
            the centre.
    """
    row = GEOMETRIES.find(name)
    banks = [*targets, *sources]
    for bank in banks[1:]:
        banks[0].require_comparable(bank)
    if not (row.square_root or row.centre or row.whiten):
        return Geometry(name, unit_length=row.unit_length)
    means = np.concatenate([bank.means for bank in sources]).astype(np.float64)
    if row.centre and len(means) == 1:
        raise InputError(
            f"`geometry` {name}: subtracts the mean of the source classes, but there is only one source class, which "
            f"would be as far from any target as from another; give more sources, or `geometry` euclidean"
        )
    slope = None
    if row.square_root and are_rectified([bank.means for bank in banks]):
        np.maximum(means, 0, out=means)
        average = means.mean(axis=0)
        least = _LEAST_MEAN * average.mean() or 1.0  # if every mean is 0, any slope will do
        slope = 0.5 / np.sqrt(np.maximum(average, least))
        np.sqrt(means, out=means)
    centre = means.mean(axis=0) if row.centre else None
    metric = Geometry(name, centre, whitening_factor(banks, slope) if row.whiten else None, row.unit_length, slope)
    if row.whiten:
        _say_without_covariance(metric, banks)
    return metric


def _say_without_covariance(metric: Geometry, banks: Sequence[FeatureBank]) -> None:
    """Say which banks of a whitened geometry lack a within-class covariance, and what takes its place."""
    without = [bank.name for bank in banks if bank.within_covariance is None]
    if len(without) == len(banks):
        said = f"so the geometry {metric.name} is not whitened here; its steps are: {metric.description}"
        say_once(f"no bank holds a within-class covariance, only class means, {said}")
    elif without:
        names = ", ".join(without[:_LISTED]) + (", …" if len(without) > _LISTED else "")
        say_once(f"{names}: holds class means without a covariance; that of the other banks is used in its place")


def whitening_factor(
    banks: Sequence[FeatureBank], slope: NDArray[np.float64] | None = None
) -> NDArray[np.float64] | None:
    """(D, D) lower Cholesky factor of the pooled, shrunk within-class covariance; None if that is 0.

    The covariances of the banks that know theirs are pooled by their numbers of images. The mean eigenvalue is added to
    the diagonal: a shrinkage without a parameter, which keeps directions of little variance from being blown up.
    ``slope`` (D,) is the derivative of the map that was applied to each feature, if any.
    """
    if all(bank.counts.max() == 1 for bank in banks):
        return None  # older banks hold round-off here
    known = [(bank.counts.sum(), bank.within_covariance) for bank in banks if bank.within_covariance is not None]
    pooled = np.zeros((banks[0].means.shape[1],) * 2)
    for images, covariance in known:
        pooled += images / sum(size for size, _ in known) * covariance
    if slope is not None:
        pooled *= np.outer(slope, slope)
    mean_eigenvalue = np.trace(pooled) / len(pooled)
    if not mean_eigenvalue > 0:
        return None
    pooled[np.diag_indices_from(pooled)] += mean_eigenvalue
    return np.asarray(np.linalg.cholesky(pooled), dtype=np.float64)


def are_rectified(means: Sequence[NDArray[np.floating]]) -> bool:
    """Whether no feature in several (C, D) arrays is negative, up to round-off.

    Round-off is 1e-4 of the scale of the feature, its largest absolute value, or of the average feature.
    """
    if min(of_bank.min() for of_bank in means) >= 0:
        return True
    scale = np.max([np.abs(of_bank).max(axis=0) for of_bank in means], axis=0).astype(np.float64)
    least = np.min([of_bank.min(axis=0) for of_bank in means], axis=0)
    return bool((least >= -_ROUND_OFF * np.maximum(scale, scale.mean())).all())
