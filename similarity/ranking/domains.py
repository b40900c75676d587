"""Rank source domains by their distance to a target (Cui et al., CVPR 2018): see :mod:`similarity.ranking.domain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from features.bank import FeatureBank
from features.infrastructure.console import progress
from similarity.geometry import DEFAULT_GEOMETRY, Geometry, fit_geometry
from similarity.measures import measure, measure_names, side_by_side
from similarity.ranking.calibration import Gamma, calibrated_gamma, gamma_without_noise, given_gamma
from similarity.ranking.domain import BOOTSTRAP, DEFAULT_ORDER, ORDERS, Domain, Ranking
from similarity.selection.pool import require_distinct, sources_with_classes
from similarity.transport.earth_movers_distance import EXACT_PAIRS, TransportResult, emd, similarity
from similarity.transport.network_simplex import balanced_plan
from similarity.transport.semi_relaxed import nearest_plan, semi_relaxed
from similarity.uncertainty.expected_gain import Expectation, case, expected_gain, nearness_of_source
from similarity.uncertainty.interval import Interval, distance_intervals
from similarity.uncertainty.sampling_error import errors_unknown, mean_clouds

#: Fewest source classes for intervals in a centred geometry. The centre is the mean of the source classes: a single
#: class coincides with it, and two classes lie opposite each other, whatever their means are.
_LEAST_CLASSES = 3


def rank_domains(
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    *,
    geometry: str = DEFAULT_GEOMETRY,
    gamma: float | None = None,
    min_count: int = 0,
    bootstrap: int = BOOTSTRAP,
    seed: int = 0,
    measures: Sequence[str] = (),
    order: str = DEFAULT_ORDER,
) -> Ranking:
    """Rank source domains by their distance to a target.

    Each class is weighted by its number of images.

    Args:
        target: The target's bank; all its classes are compared.
        sources: The sources' banks, at least one.
        geometry: Ground metric, one of :data:`similarity.GEOMETRIES`, fitted to all banks together.
        gamma: γ of the similarity, positive (the paper: 0.01). None calibrates it such that the similarity is 0.5 at
            the mean distance between the target's classes: see
            :func:`similarity.ranking.calibration.calibrated_gamma`.
        min_count: Source classes with fewer images are left out (the paper: 200); a source without any class left is
            dropped.
        bootstrap: Bootstrap replicates of each interval, 0 for no intervals, else at least 2. Each replicate solves
            one transport problem for each source.
        seed: Seed of the bootstrap and of the measures' samples.
        measures: Other measures of transferability to compute, from :data:`similarity.MEASURES`, or ``all``.
        order: The distance to rank by, one of :data:`similarity.ranking.domain.ORDERS`.

    Raises:
        ValueError: ``sources`` is empty, ``order`` is unknown, or a number is out of its range.
        InputError: The banks cannot be compared, the geometry or a measure is unknown, ``min_count`` leaves no class,
            or the geometry is centred and there is only one source class.
    """
    if not sources:
        raise ValueError("sources must hold at least one feature bank, got none")
    if gamma is not None and not 0 < gamma < np.inf:
        raise ValueError(f"gamma must be positive, got {gamma}")
    if min_count < 0:
        raise ValueError(f"min_count must be at least 0, got {min_count}")
    if bootstrap < 0 or bootstrap == 1:
        raise ValueError(f"bootstrap must be 0 or at least 2, got {bootstrap}")
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
    require_distinct([target], sources)
    names = measure_names(measures)
    kept = sources_with_classes(sources, min_count)
    metric = fit_geometry(geometry, [target], kept)
    points, target_points = [metric.points(bank.means) for bank in kept], metric.points(target.means)
    counts = [bank.counts for bank in kept]
    scale = calibrated_gamma(target_points, target.counts, points, counts) if gamma is None else given_gamma(gamma)
    results = []
    with progress("transport", total=len(kept)) as advance:
        for bank, its_points in zip(kept, points, strict=True):
            results.append(emd(its_points, bank.counts, target_points, target.counts))
            advance(note=bank.name)
    served = [semi_relaxed(its_points, target_points, target.counts) for its_points in points]
    intervals, true_gamma = _intervals(metric, target, kept, results, scale, bootstrap, seed)
    rows = zip(kept, results, served, intervals, strict=True)
    domains = [_domain(*row, scale.value, true_gamma) for row in rows]
    if names:
        evidence = side_by_side(target, kept, geometry=metric, seed=seed, transports=results)
        with progress("measures", total=len(kept)) as advance:
            for i, one in enumerate(evidence):
                domains[i] = replace(domains[i], measures=measure(names, one, comparing="sources"))
                advance(note=kept[i].name)
    ranked = ORDERS[order].ranked(domains)
    return Ranking(
        target=target.name,
        domains=ranked,
        order=order,
        geometry=geometry,
        gamma=scale.value,
        half=scale.meaning,
        target_classes=target.classes,
        geometry_steps=metric.description,
        expected=_expected(target, kept, ranked, geometry),
        without_intervals=_without_intervals(metric, target, kept) if bootstrap else None,
        dropped=tuple(bank.name for bank in sources if not (bank.counts >= min_count).any()),
        given=tuple(bank.name for bank in sources),
    )


def _expected(
    target: FeatureBank, sources: Sequence[FeatureBank], ranked: Sequence[Domain], geometry: str
) -> Expectation:
    """What training on the first source can be expected to gain."""
    sizes = case(ranked[0].classes / sum(domain.classes for domain in ranked), target)
    distances = [domain.nearest_class_distance for domain in ranked]
    return expected_gain("domains", [target, *sources], geometry, sizes, lambda: nearness_of_source(distances, 0))


def _intervals(
    metric: Geometry,
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    results: Sequence[TransportResult],
    scale: Gamma,
    replicates: int,
    seed: int,
) -> tuple[list[tuple[Interval | None, Interval | None]], float | None]:
    """The intervals of both distances, and γ corrected for noise; see :class:`Domain` for when they are None."""
    if not replicates or _without_intervals(metric, target, sources):
        return [(None, None)] * len(sources), None
    exact = all(result.solver != "semi-dual" for result in results)
    planners = (nearest_plan, balanced_plan) if exact else (nearest_plan,)
    clouds = mean_clouds(metric, [target, *sources])
    counts = [bank.counts for bank in (target, *sources)]
    gamma = gamma_without_noise(scale, clouds, counts, unit_length=metric.unit_length)
    found: list[tuple[Interval | None, Interval | None]] = []
    with progress("bootstrap", total=len(sources) * replicates) as advance:
        for i, cloud in enumerate(clouds[1:]):
            nearest, *balanced = distance_intervals(
                cloud,
                clouds[0],
                planners,
                unit_length=metric.unit_length,
                replicates=replicates,
                # The same draws of the target for every source, so that sources are compared in pairs.
                generators=(np.random.default_rng((seed, 1, i)), np.random.default_rng((seed, 0))),
                advance=advance,
            )
            found.append((balanced[0] if balanced else None, nearest))
    return found, gamma


def _without_intervals(metric: Geometry, target: FeatureBank, sources: Sequence[FeatureBank]) -> str | None:
    """Why no intervals can be computed, in words; None if they can."""
    if metric.centre is not None and sum(len(bank.classes) for bank in sources) < _LEAST_CLASSES:
        return f"the sources have fewer than {_LEAST_CLASSES} classes"
    if any(len(bank.classes) * len(target.classes) > EXACT_PAIRS for bank in sources):
        return "the sets are too large to resample"
    return errors_unknown([target, *sources])


def _domain(
    bank: FeatureBank,
    result: TransportResult,
    served: TransportResult,
    intervals: tuple[Interval | None, Interval | None],
    gamma: float,
    true_gamma: float | None,
) -> Domain:
    """A domain without measures; ``true_gamma`` None makes the interval of the similarity 0 to 1."""
    value = similarity(result.value, gamma)
    of_emd, of_nearest = (
        interval and interval.holding(distance.value)
        for interval, distance in zip(intervals, (result, served), strict=True)
    )
    similarities = None
    if of_emd is not None:
        ends = (0.0, 1.0) if true_gamma is None else [similarity(d, true_gamma) for d in (of_emd.high, of_emd.low)]
        similarities = min(ends[0], value), max(ends[1], value)
    return Domain(
        source=bank.name,
        emd=result.value,
        emd_interval=of_emd,
        nearest_class_interval=of_nearest,
        similarity=value,
        interval=similarities,
        classes=len(bank.classes),
        images=bank.images_in,
        class_names=bank.classes,
        transport=result,
        served=served,
    )
