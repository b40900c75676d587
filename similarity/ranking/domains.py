"""Rank source domains by their Earth Mover's Distance to a target (Cui et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from features.bank import FeatureBank
from features.infrastructure.console import progress
from similarity.geometry import DEFAULT_GEOMETRY, Geometry, fit_geometry
from similarity.measures import Score, Unmeasured, measure, measure_names, reasons, side_by_side, values
from similarity.ranking.calibration import Gamma, calibrated_gamma, gamma_without_noise, given_gamma
from similarity.selection.pool import sources_with_classes
from similarity.transport.earth_movers_distance import EXACT_PAIRS, TransportResult, emd, similarity
from similarity.uncertainty.interval import Interval, distance_interval
from similarity.uncertainty.sampling_error import mean_clouds

#: Fewest source classes for intervals in a centred geometry. The centre is the mean of the source classes: a single
#: class coincides with it, and two classes lie opposite each other, whatever their means are.
_LEAST_CLASSES = 3


@dataclass(frozen=True, eq=False)
class Domain:
    """One source domain compared with the target.

    Attributes:
        source: Dataset spec of the source.
        emd: Earth Mover's Distance to the target, in units of the geometry.
        similarity: exp(−γ·emd). Comparable only between sources of one target in one geometry.
        emd_interval: 95 % interval of the distance between the true class means, extended to contain ``emd``, which
            sampling noise biases upwards. None without a bootstrap, if the geometry is centred and there are fewer
            than three source classes, or if a source is too large for the exact solver.
        interval: 95 % interval of the similarity, extended to contain ``similarity``. It applies a calibrated γ that
            is corrected for sampling noise too, and is 0 to 1 if noise explains all distances that γ is calibrated on.
        classes: Number of classes compared.
        images: Number of images of these classes.
        class_names: Names of the classes, in the order of the plan's rows.
        transport: The optimal plan from the source's classes to the target's, and its bounds.
        measures: Other measures of transferability by name, if requested.
    """

    source: str
    emd: float
    similarity: float
    emd_interval: tuple[float, float] | None
    interval: tuple[float, float] | None
    classes: int
    images: int
    class_names: tuple[str, ...]
    transport: TransportResult
    measures: Mapping[str, Score | Unmeasured] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Source domains, nearest first.

    Attributes:
        target: Dataset spec of the target.
        domains: The sources by ascending distance; ties keep the order given.
        geometry: Name of the requested ground metric.
        gamma: γ of the similarity.
        half: The distance at which the similarity is 0.5, in words that end a sentence.
        target_classes: Names of the target's classes, in the order of the plans' columns.
        geometry_steps: The steps that the fitted geometry takes: see :attr:`similarity.Geometry.description`.
        dropped: Dataset specs of the sources without a class of ``min_count`` images.
    """

    target: str
    domains: tuple[Domain, ...]
    geometry: str
    gamma: float
    half: str
    target_classes: tuple[str, ...]
    geometry_steps: str
    dropped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The output of ``transfer rank --json``; a missing interval is two nulls."""
        return {
            "target": self.target,
            "geometry": self.geometry,
            "geometry_steps": self.geometry_steps,
            "gamma": self.gamma,
            "dropped": list(self.dropped),
            "domains": [
                {
                    "source": domain.source,
                    "emd": domain.emd,
                    "emd_interval": list(domain.emd_interval or (None, None)),
                    "similarity": domain.similarity,
                    "interval": list(domain.interval or (None, None)),
                    "classes": domain.classes,
                    "images": domain.images,
                    "solver": domain.transport.solver,
                    "emd_bounds": [domain.transport.lower_bound, domain.transport.upper_bound],
                    **({"measures": values(domain.measures)} if domain.measures else {}),
                }
                for domain in self.domains
            ],
        } | ({"unmeasured": reasons(domain.measures for domain in self.domains)} if self.domains[0].measures else {})


def rank_domains(
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    *,
    geometry: str = DEFAULT_GEOMETRY,
    gamma: float | None = None,
    min_count: int = 0,
    bootstrap: int = 0,
    seed: int = 0,
    measures: Sequence[str] = (),
) -> Ranking:
    """Rank source domains by similarity to a target (Cui et al., CVPR 2018).

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

    Raises:
        ValueError: ``sources`` is empty, or a number is out of its range.
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
    intervals, true_gamma = _intervals(metric, target, kept, results, scale, bootstrap, seed)
    domains = [_domain(*row, scale.value, true_gamma) for row in zip(kept, results, intervals, strict=True)]
    if names:
        evidence = side_by_side(target, kept, geometry=metric, seed=seed, transports=results)
        with progress("measures", total=len(kept)) as advance:
            for i, one in enumerate(evidence):
                domains[i] = replace(domains[i], measures=measure(names, one, comparing="sources"))
                advance(note=kept[i].name)
    domains.sort(key=lambda domain: domain.emd)
    return Ranking(
        target=target.name,
        domains=tuple(domains),
        geometry=geometry,
        gamma=scale.value,
        half=scale.meaning,
        target_classes=target.classes,
        geometry_steps=metric.description,
        dropped=tuple(bank.name for bank in sources if not (bank.counts >= min_count).any()),
    )


def _intervals(
    metric: Geometry,
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    results: Sequence[TransportResult],
    scale: Gamma,
    replicates: int,
    seed: int,
) -> tuple[list[Interval | None], float | None]:
    """The interval of each distance, and γ corrected for sampling noise; see :class:`Domain` for when they are None."""
    vary = metric.centre is None or sum(len(bank.classes) for bank in sources) >= _LEAST_CLASSES
    small = all(len(bank.classes) * len(target.classes) <= EXACT_PAIRS for bank in sources)
    if not (replicates and vary and small) or any(result.solver == "semi-dual" for result in results):
        return [None] * len(sources), None
    clouds = mean_clouds(metric, [target, *sources])
    counts = [bank.counts for bank in (target, *sources)]
    gamma = gamma_without_noise(scale, clouds, counts, unit_length=metric.unit_length)
    options: dict[str, Any] = {"unit_length": metric.unit_length, "replicates": replicates}
    with progress("bootstrap", total=len(sources) * replicates) as advance:
        return [
            distance_interval(cloud, clouds[0], generator=np.random.default_rng((seed, i)), advance=advance, **options)
            for i, cloud in enumerate(clouds[1:])
        ], gamma


def _domain(
    bank: FeatureBank, result: TransportResult, interval: Interval | None, gamma: float, true_gamma: float | None
) -> Domain:
    """A domain without measures; ``true_gamma`` None makes the interval of the similarity 0 to 1."""
    value = similarity(result.value, gamma)
    distances = similarities = None
    if interval is not None:
        extended = interval.holding(result.value)
        distances = extended.low, extended.high
        ends = (0.0, 1.0) if true_gamma is None else [similarity(d, true_gamma) for d in (interval.high, interval.low)]
        similarities = min(ends[0], value), max(ends[1], value)
    return Domain(
        source=bank.name,
        emd=result.value,
        similarity=value,
        emd_interval=distances,
        interval=similarities,
        classes=len(bank.classes),
        images=int(bank.counts.sum()),
        class_names=bank.classes,
        transport=result,
    )
