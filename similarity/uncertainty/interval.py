"""Bootstrap intervals of transport distances between the true class means of two domains.

Sampling noise pushes class means apart: E‖x̂ − ŷ‖² exceeds ‖x − y‖² by the expected squared lengths of both errors. The
plug-in distance, that of the sample means, is therefore biased upwards, the more the fewer images a class has. A
bootstrap around the sample means adds the noise a second time and cannot estimate this bias. Hence:

1. Every squared distance is corrected by its expected noise. On points of length 1 the squared lengths before scaling
   are corrected instead, because inner products of independent samples are unbiased. The corrected squared distances
   are unbiased, like cross-validated distances (Walther et al., NeuroImage 2016), which need the images; on length 1,
   to first order.
2. The estimate is Σ_ij P_ij ±√|corrected squared distance|, where P is the optimal plan of the sample means. With
   signed roots, noise around zero cancels instead of accumulating.
3. Bootstrap replicates are drawn from a model whose squared distances are the corrected ones, clamped at 0, and whose
   transport distance θ₀ is known. The replicates' estimates less θ₀ show bias and spread of the estimate. The interval
   is centred on the estimate less their mean offset (basic bootstrap: Davison and Hinkley, 1997, ch. 5), which is the
   reported estimate, and is as wide as a Student prediction interval of one further replicate (Hahn and Meeker, 1991).
4. The lower end is 0 unless the plug-in distance exceeds the upper prediction limit of the distance that noise alone
   gives to coinciding pairs. A bootstrap alone fails at 0 (Sommerfeld and Munk, JRSSB 2018).
5. If the corrected estimate is not positive, noise alone explains the plug-in distance, and the correction has nothing
   left to correct. There is no estimate then, and the interval reaches from 0 to the plug-in distance.
6. A ranking prints the interval extended to contain the plug-in distance. The size of the noise is itself an estimate,
   and on real features, whose classes vary in different directions, the correction alone is too sure of itself.

Limits: the geometry is treated as known. The error covariance has one shape for all classes of a bank, and its size is
an estimate. If the distance is mostly noise (the same classes, 5 images each, in a whitened geometry), the coverage is
below the nominal level. ``benchmarks/interval_coverage.py`` measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit  # scipy.stats takes a second to import

from similarity.distances import pairwise_distances
from similarity.uncertainty.sampling_error import MeanCloud

#: Lower bound of the share of signal in a point's squared length, relative to the bank's average share. A share near 0
#: would inflate the point's distances. The bound is active if the noise of a class is overestimated by far.
_LEAST_SIGNAL = 0.5
#: Lower bound of the bank's average share of signal, active if the whole bank is mostly noise.
_LEAST_AVERAGE = 0.1
#: Nominal coverage, and the largest distance between two points of length 1.
_LEVEL, _DIAMETER = 0.95, 2.0

_Array = NDArray[np.float64]
_Pair = tuple[_Array, _Array]  # of the source and of the target, or of two results


@dataclass(frozen=True, eq=False)
class Interval:
    """An estimate of the distance between the true class means, and its interval; both are at least 0.

    Attributes:
        estimate: The estimate, corrected for bias; None if noise alone explains the plug-in distance.
        low, high: Ends of the interval.
        draws: (R,) draws of the true distance, one a replicate: the estimate less the offset of the replicate. They
            are not clamped.
    """

    estimate: float | None
    low: float
    high: float
    draws: _Array

    def holding(self, value: float) -> Interval:
        """The interval extended to contain ``value``, such as the plug-in distance."""
        return replace(self, low=min(self.low, value), high=max(self.high, value))

    def nearer_than(self, other: Interval) -> float | None:
        """Confidence, 0 to 1, that this distance is less than the other, by their paired replicates.

        It is the probability, under the Student prediction distribution of step 3, that one further difference of
        paired draws is negative. None if either has no estimate.
        """
        if self.estimate is None or other.estimate is None:
            return None
        difference = self.draws - other.draws
        spread = float(difference.std(ddof=1)) * np.sqrt(1 + 1 / len(difference))
        mean = float(difference.mean())
        if spread == 0:
            return 0.5 if mean == 0 else float(mean < 0)
        return float(stdtr(len(difference) - 1, -mean / spread))


#: Returns the plan (S, T) for ground distances (S, T), source weights (S,) and target weights (T,).
Planner: TypeAlias = Callable[[_Array, _Array, _Array], _Array]


def distance_intervals(
    source: MeanCloud,
    target: MeanCloud,
    planners: Sequence[Planner],
    *,
    unit_length: bool,
    replicates: int,
    generators: tuple[np.random.Generator, np.random.Generator],
    advance: Callable[[], None] = lambda: None,
) -> list[Interval]:
    """95 % intervals of the transport distance between the true class means in a known geometry, one a planner.

    Args:
        source, target: The class means of both.
        planners: Make the plan of a matrix of ground distances; the distance is the mean under the plan.
        unit_length: Whether the geometry scales points to length 1; the ends are then at most 2.
        replicates: Number of bootstrap replicates, at least 2 (`ValueError`); each makes one plan a planner.
        generators: Draw the errors of source and target. Two sources with equal generators of the target are compared
            with the same draws of it: see :meth:`Interval.nearer_than`.
        advance: Called after each replicate.
    """
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2, got {replicates}")
    world: _Plane | _Sphere = _Sphere(source, target) if unit_length else _Plane(source, target)
    observed, truth = np.sqrt(world.observed), np.sqrt(world.truth)
    weights = source.weights, target.weights
    plans = [planner(observed, *weights) for planner in planners]
    used = [np.divmod(np.flatnonzero(plan), plan.shape[1]) for plan in plans]
    centres = [float((planner(truth, *weights) * truth).sum()) for planner in planners]
    estimates, noise = np.empty((2, len(planners), replicates))
    for i in range(replicates):
        errors = source.draw_errors(generators[0]), target.draw_errors(generators[1])
        sizes = source.draw_error_sizes(generators[0]), target.draw_error_sizes(generators[1])
        drawn, unbiased = world.replicate(errors, sizes)
        roots, costs = signed_root(unbiased), np.sqrt(drawn)
        for k, planner in enumerate(planners):
            estimates[k, i] = (planner(costs, *weights) * roots).sum()
            rows, columns = used[k]
            noise[k, i] = plans[k][rows, columns] @ world.coinciding(rows, columns, errors)
        advance()
    return [_interval(world, unit_length, *of_plan) for of_plan in zip(plans, centres, estimates, noise, strict=True)]


def _interval(
    world: _Plane | _Sphere, unit_length: bool, plan: _Array, centre: float, estimates: _Array, noise: _Array
) -> Interval:
    """Steps 3 and 4 for one plan, given θ₀, the (R,) estimates of the replicates and the distances of noise alone."""
    value = float((plan * np.sqrt(world.observed)).sum())
    estimate = float((plan * signed_root(world.unbiased)).sum())
    replicates = len(estimates)
    width = float(stdtrit(replicates - 1, (1 + _LEVEL) / 2)) * np.sqrt(1 + 1 / replicates)
    middle, half = estimate - (estimates.mean() - centre), width * estimates.std(ddof=1)
    low = 0.0 if value <= noise.mean() + width * noise.std(ddof=1) else middle - half
    most = _DIAMETER if unit_length else np.inf
    told, low, high = (float(np.clip(end, 0, most)) for end in (middle, low, middle + half))
    draws = middle - (estimates - estimates.mean())
    if middle <= 0 < value:
        return Interval(None, 0.0, max(high, value), draws)
    return Interval(told, low, high, draws)


def without_noise(cloud: MeanCloud, *, unit_length: bool) -> tuple[_Array, _Array]:
    """Points x_i (C, D) and noise e_i (C,) such that ‖x_i − x_j‖² − e_i − e_j is unbiased for i ≠ j.

    It estimates the squared distance between the true means. If ``unit_length``, it estimates, to first order, that
    between their directions: x_i is scaled by its corrected length, so ‖x_i‖² is above 1 by the noise e_i.
    """
    if not unit_length:
        return cloud.points, cloud.error
    squares = np.square(cloud.points).sum(axis=1)
    scale = np.divide(1, _signal(squares, cloud.error), where=squares > 0, out=np.zeros_like(squares))
    return cloud.points * np.sqrt(scale)[:, None], squares * scale - np.sign(squares)


class _Plane:
    """Squared distances between two clouds whose points are not scaled.

    Attributes:
        observed: (S, T) squared distances between the sample means.
        unbiased: (S, T) ``observed`` less the expected noise; can be negative.
        truth: (S, T) true squared distances of the bootstrap model, ``unbiased`` clamped at 0.
    """

    def __init__(self, source: MeanCloud, target: MeanCloud) -> None:
        self._source, self._target = source, target
        self.observed = pairwise_distances(source.points, target.points) ** 2
        self.unbiased = self.observed - (source.error[:, None] + target.error)
        self.truth = np.maximum(self.unbiased, 0)
        self._shrink = np.sqrt(np.divide(self.truth, self.observed, where=self.observed > 0, out=0 * self.truth))

    def replicate(self, errors: _Pair, sizes: _Pair) -> _Pair:
        """One bootstrap replicate of ``observed`` and of ``unbiased``.

        ‖Δ + ε‖² = ‖Δ‖² + 2Δ·ε + ‖ε‖², where each difference Δ of two sample means is shrunk to the length √truth,
        separately. The errors are (S, D) and (T, D) draws, the sizes (S,) and (T,) estimates of their expected squared
        lengths.
        """
        moved = pairwise_distances(self._source.points + errors[0], self._target.points + errors[1]) ** 2
        alone = pairwise_distances(*errors) ** 2
        observed = np.maximum(self.truth + self._shrink * (moved - self.observed - alone) + alone, 0)
        return observed, observed - (sizes[0][:, None] + sizes[1])

    def coinciding(self, rows: NDArray[np.int64], columns: NDArray[np.int64], errors: _Pair) -> _Array:
        """(P,) distances between pairs whose true means coincide: distances of noise alone."""
        return np.linalg.norm(errors[0][rows] - errors[1][columns], axis=1)


class _Sphere:
    """As :class:`_Plane`, for points scaled to length 1: squared distances 2 − 2·cos."""

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

    def replicate(self, errors: _Pair, sizes: _Pair) -> _Pair:
        x, y = self._points
        inner = self._inner + x @ errors[1].T + errors[0] @ (y + errors[1]).T
        lengths = [
            np.maximum(signal + 2 * np.einsum("cd,cd->c", points, error) + np.square(error).sum(axis=1), 0)
            for signal, points, error in zip(self._signal, self._points, errors, strict=True)
        ]
        signals = [_signal(*pair) for pair in zip(lengths, sizes, strict=True)]
        return np.maximum(_chords(inner, *lengths), 0), _chords(inner, *signals)

    def coinciding(self, rows: NDArray[np.int64], columns: NDArray[np.int64], errors: _Pair) -> _Array:
        direction = _unit(self._points[0])[rows]
        ends = [
            _unit(np.sqrt(signal[place])[:, None] * direction + error[place])
            for signal, error, place in zip(self._signal, errors, (rows, columns), strict=True)
        ]
        return np.linalg.norm(ends[0] - ends[1], axis=1)


def _signal(squares: _Array, error: _Array) -> _Array:
    """(C,) squared lengths less the (C,) expected squared errors, with lower bounds in proportion to the former."""
    total = squares.sum()
    average = max(1 - error.sum() / total, _LEAST_AVERAGE) if total > 0 else 1.0
    return np.maximum(squares - error, _LEAST_SIGNAL * average * squares)


def _chords(inner: _Array, source_squares: _Array, target_squares: _Array) -> _Array:
    """(S, T) squared distances between points scaled to length 1; a point of length 0 stays at 0."""
    ends = np.sign(source_squares)[:, None] + np.sign(target_squares)
    product = np.sqrt(np.outer(source_squares, target_squares))
    return np.asarray(ends - 2 * np.divide(inner, product, where=product > 0, out=np.zeros_like(inner)))


def signed_root(squares: _Array) -> _Array:
    """sign(x)·√|x|, element by element."""
    return np.asarray(np.sign(squares) * np.sqrt(np.abs(squares)))


def _unit(points: _Array) -> _Array:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1)
