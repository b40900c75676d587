"""Intervals of an Earth Mover's Distance over the images that were drawn.

Noise in class means pushes points apart: ‖x̂ − ŷ‖² is larger than ‖x − y‖² by the expected squared lengths of both
errors, on average, so the distance of sample means is too large, and by more the fewer images a class has. A
bootstrap around the sample means adds the same noise a second time, to distances that already hold it, and
cannot tell how large it was. Hence here:

1. Every squared distance loses its expected noise. On points of length 1 the noise is in the lengths
   instead (inner products of independent samples have none), and each length loses it. Without bias like
   cross-validated distances (Walther et al., NeuroImage 2016), which need the images; on length 1 to first order.
2. The distance is estimated as Σ_ij P_ij ±√|unbiased squared distance|, P the plan of the sample means. The
   signed root lets noise around zero cancel instead of adding up.
3. Replicates live in a world whose squared distances are the unbiased ones, at least 0, and whose transport
   distance θ₀ is known. Their estimates around θ₀ say how far, and to which side, the estimate is off: the interval is
   of the estimate less their mean offset (the basic bootstrap: Davison and Hinkley, 1997, ch. 5), as wide as a Student
   prediction interval of one more of them (Hahn and Meeker, 1991).
4. Zero belongs to the interval unless noise alone, added to pairs of the plan that coincide, stays
   below the distance found. A bootstrap alone fails there (Sommerfeld and Munk, JRSSB 2018).

Limits. The geometry is held as it is. Errors have one shape for all classes of a bank, and a size that is known to
some per cent only: where the distance is mostly noise, as of the same classes by 5 images in a whitened geometry, the
interval misses more often than it says. ``benchmarks/interval_coverage.py`` measures how often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from similarity.distances import pairwise_distances
from similarity.transport.earth_movers_distance import transport_plan
from similarity.uncertainty.sampling_error import MeanCloud

#: Least share of a squared length, relative to the bank's average share, that is taken to be no noise. A share of 0
#: would leave a point without a direction, and one near 0 blow its distances up; it binds where the noise of a class
#: happens to be estimated far too large, of which the bank's average knows better.
_LEAST_SIGNAL = 0.5
#: The same for the bank's average share: it binds where a whole bank is hardly more than noise.
_LEAST_AVERAGE = 0.1
#: No two points of length 1 are further apart.
_DIAMETER = 2.0

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Where the distance between the true class means lies.

    Attributes:
        low: Lower end, at least 0.
        high: Upper end.
        replicates: Resamplings behind it.
    """

    low: float
    high: float
    replicates: int

    def holding(self, value: float) -> Interval:
        """Stretched to ``value``, the distance of sample means, which may lie above all of it."""
        return Interval(min(self.low, value), max(self.high, value), self.replicates)


def distance_interval(
    source: MeanCloud,
    target: MeanCloud,
    *,
    unit_length: bool,
    replicates: int,
    generator: np.random.Generator,
    level: float = 0.95,
    advance: Callable[[], None] = lambda: None,
) -> Interval:
    """Interval of the Earth Mover's Distance between the true class means, the geometry held as it is.

    Its width allows for few replicates.

    Args:
        source: The source's means.
        target: The target's means.
        unit_length: Whether the geometry scales points to length 1; the interval then ends at 2.
        replicates: Transport problems to solve, at least 2.
        generator: Draws the errors.
        level: Share of cases in which the interval is to hold the true distance, 0 to 1.
        advance: Called after each replicate.

    Raises:
        ValueError: ``replicates`` is less than 2.
    """
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2, got {replicates}")
    world: _Plane | _Sphere = _Sphere(source, target) if unit_length else _Plane(source, target)
    plan = transport_plan(np.sqrt(world.observed), source.weights, target.weights)[0]
    rows, columns = np.nonzero(plan)
    mass = plan[rows, columns]
    value = float(mass @ np.sqrt(world.observed[rows, columns]))
    estimate = float(mass @ signed_root(world.unbiased[rows, columns]))
    truth = np.sqrt(world.truth)
    centre = float((transport_plan(truth, source.weights, target.weights)[0] * truth).sum())
    estimates, noise = np.empty(replicates), np.empty(replicates)
    for i in range(replicates):
        errors = source.draw_errors(generator), target.draw_errors(generator)
        sizes = source.draw_error_sizes(generator), target.draw_error_sizes(generator)
        observed, unbiased = world.replicate(*errors, *sizes)
        drawn = transport_plan(np.sqrt(observed), source.weights, target.weights)[0]
        estimates[i] = (drawn * signed_root(unbiased)).sum()
        noise[i] = mass @ world.coinciding(rows, columns, *errors)
        advance()
    width = float(student.ppf((1 + level) / 2, replicates - 1)) * np.sqrt(1 + 1 / replicates)
    middle, half = estimate - (estimates.mean() - centre), width * estimates.std(ddof=1)
    low, high = max(0.0, float(middle - half)), max(0.0, float(middle + half))
    if value <= noise.mean() + width * noise.std(ddof=1):
        low = 0.0
    if unit_length:
        low, high = min(low, _DIAMETER), min(high, _DIAMETER)
    return Interval(low, high, replicates)


def without_noise(cloud: MeanCloud, *, unit_length: bool) -> tuple[_Array, _Array]:
    """Points x_i (C, D) and noise e_i (C,) such that ‖x_i − x_j‖² − e_i − e_j has no bias, i ≠ j.

    It is the squared distance of the true means; of their directions if ``unit_length``, where the x_i are as much
    longer than 1 as noise has made them, and e_i is what they have too much.
    """
    if not unit_length:
        return cloud.points, cloud.error
    squares = np.square(cloud.points).sum(axis=1)
    scale = np.divide(1, _signal(squares, cloud.error), where=squares > 0, out=np.zeros_like(squares))
    return cloud.points * np.sqrt(scale)[:, None], squares * scale - np.sign(squares)


class _Plane:
    """Squared distances of two clouds as they are.

    Attributes:
        observed: (S, T) squared distances of the sample means.
        unbiased: (S, T) the same less their expected noise; may be negative.
        truth: (S, T) squared distances that replicates take for true.
    """

    def __init__(self, source: MeanCloud, target: MeanCloud) -> None:
        self._source, self._target = source, target
        self.observed = pairwise_distances(source.points, target.points) ** 2
        self.unbiased = self.observed - (source.error[:, None] + target.error)
        self.truth = np.maximum(self.unbiased, 0)
        self._shrink = np.sqrt(np.divide(self.truth, self.observed, where=self.observed > 0, out=0 * self.truth))

    def replicate(
        self, source_errors: _Array, target_errors: _Array, source_sizes: _Array, target_sizes: _Array
    ) -> tuple[_Array, _Array]:
        """Squared distances with errors in them, and the same less the noise that is estimated again.

        ‖Δ + ε‖² = ‖Δ‖² + 2Δ·ε + ‖ε‖² with the differences Δ of the sample means shrunk to their unbiased
        length, pair by pair: no set of points need have these distances.
        """
        moved = pairwise_distances(self._source.points + source_errors, self._target.points + target_errors) ** 2
        alone = pairwise_distances(source_errors, target_errors) ** 2
        observed = np.maximum(self.truth + self._shrink * (moved - self.observed - alone) + alone, 0)
        return observed, observed - (source_sizes[:, None] + target_sizes)

    def coinciding(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], source_errors: _Array, target_errors: _Array
    ) -> _Array:
        """(P,) distances of pairs that would coincide but for their errors."""
        return np.linalg.norm(source_errors[rows] - target_errors[columns], axis=1)


class _Sphere:
    """Squared distances 2 − 2·cos of two clouds whose points are scaled to length 1; as :class:`_Plane`."""

    def __init__(self, source: MeanCloud, target: MeanCloud) -> None:
        self._signal, self._points = [], []
        inner = source.points @ target.points.T
        lengths = []
        for cloud in (source, target):
            squares = np.square(cloud.points).sum(axis=1)
            signal = _signal(squares, cloud.error)
            shrink = np.sqrt(np.divide(signal, squares, where=squares > 0, out=np.zeros_like(squares)))
            lengths.append(squares)
            self._signal.append(signal)
            self._points.append(shrink[:, None] * cloud.points)
        self.observed = np.maximum(_chords(inner, *lengths), 0)
        self.unbiased = _chords(inner, *self._signal)
        self.truth = np.clip(self.unbiased, 0, 4)
        self._inner = (1 - self.truth / 2) * np.sqrt(np.outer(*self._signal))

    def replicate(
        self, source_errors: _Array, target_errors: _Array, source_sizes: _Array, target_sizes: _Array
    ) -> tuple[_Array, _Array]:
        x, y = self._points
        inner = self._inner + x @ target_errors.T + source_errors @ (y + target_errors).T
        lengths = [
            np.maximum(signal + 2 * np.einsum("cd,cd->c", points, errors) + np.square(errors).sum(axis=1), 0)
            for signal, points, errors in zip(self._signal, self._points, (source_errors, target_errors), strict=True)
        ]
        signals = [_signal(*pair) for pair in zip(lengths, (source_sizes, target_sizes), strict=True)]
        return np.maximum(_chords(inner, *lengths), 0), _chords(inner, *signals)

    def coinciding(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], source_errors: _Array, target_errors: _Array
    ) -> _Array:
        direction = _unit(self._points[0])[rows]
        ends = [
            _unit(np.sqrt(signal[place])[:, None] * direction + errors[place])
            for signal, errors, place in zip(self._signal, (source_errors, target_errors), (rows, columns), strict=True)
        ]
        return np.linalg.norm(ends[0] - ends[1], axis=1)


def _signal(squares: _Array, error: _Array) -> _Array:
    """(C,) squared lengths less their noise. What is left is kept from nothing: half the bank's average share."""
    total = squares.sum()
    average = max(1 - error.sum() / total, _LEAST_AVERAGE) if total > 0 else 1.0
    return np.maximum(squares - error, _LEAST_SIGNAL * average * squares)


def _chords(inner: _Array, source_squares: _Array, target_squares: _Array) -> _Array:
    """(S, T) squared distances of points scaled to length 1, a point of length 0 left where it is."""
    ends = np.sign(source_squares)[:, None] + np.sign(target_squares)
    product = np.sqrt(np.outer(source_squares, target_squares))
    return np.asarray(ends - 2 * np.divide(inner, product, where=product > 0, out=np.zeros_like(inner)))


def signed_root(squares: _Array) -> _Array:
    """±√|x|, with the sign of x."""
    return np.asarray(np.sign(squares) * np.sqrt(np.abs(squares)))


def _unit(points: _Array) -> _Array:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1)
