"""Rank source domains by their Earth Mover's Distance to a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from features.bank import FeatureBank
from features.infrastructure.console import progress
from similarity.geometry import DEFAULT_GEOMETRY, fit_geometry
from similarity.measures import Score, Unmeasured, measure, measure_names, reasons, side_by_side, values
from similarity.ranking.calibration import calibrated_gamma, gamma_without_noise, given_gamma
from similarity.transport.earth_movers_distance import EXACT_PAIRS, TransportResult, emd, similarity
from similarity.uncertainty.interval import Interval, distance_interval
from similarity.uncertainty.sampling_error import mean_clouds

#: Least source classes whose mean is a centre: one is the centre itself, two lie opposite each other around it.
_LEAST_CLASSES = 3


@dataclass(frozen=True, eq=False)
class Domain:
    """One source domain beside the target.

    Attributes:
        source: Its dataset spec.
        emd: Earth Mover's Distance to the target, in the units of the geometry.
        similarity: exp(−γ·emd). Comparable between sources of one target and one geometry only.
        emd_interval: 95 % interval of the distance between the true class means, stretched to hold ``emd``, which
            noise makes too large; None where no bootstrap was asked for, where the geometry takes off the centre
            of less than three source classes, or where a source is too large for the exact solver. See
            :func:`similarity.uncertainty.interval.distance_interval`.
        interval: The same of the similarity, with a calibrated γ that has lost the noise too, stretched to hold
            ``similarity``; 0 to 1 where noise explains all of what γ is calibrated on.
        classes: Classes that took part.
        images: Images behind them.
        class_names: The classes, in the order of the plan's rows.
        transport: The plan from its classes to the target's, and the bounds.
        measures: Other measures of transferability that were asked for, by name.
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
    """Source domains, best first.

    Attributes:
        target: Dataset spec of the target.
        domains: The sources by ascending distance; in the order given where distances are equal.
        geometry: The ground metric's name.
        gamma: γ of the similarity.
        half: What a similarity of 0.5 stands for, to end a sentence with.
        target_classes: Its classes, in the order of the plans' columns.
    """

    target: str
    domains: tuple[Domain, ...]
    geometry: str
    gamma: float
    half: str
    target_classes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``transfer rank --json`` prints; an interval that is not there is two nulls."""
        return {
            "target": self.target,
            "gamma": self.gamma,
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

    A class weighs as much as it has images.

    Args:
        target: The target's bank; all its classes take part.
        sources: The sources' banks, at least one.
        geometry: Ground metric, one of :data:`similarity.GEOMETRIES`, fitted to all banks together.
        gamma: γ of the similarity, positive (the paper: 0.01). None calibrates it so that 0.5 means as far as
            the target's classes are from each other: see :func:`similarity.ranking.calibration.calibrated_gamma`.
        min_count: Source classes of fewer images are left out (the paper: 200).
        bootstrap: Replicates behind the intervals, each one more transport problem a source; 0 for none, else
            at least 2.
        seed: Seed of the bootstrap, and of the draws of measures.
        measures: Other measures of transferability to take too, of :data:`similarity.MEASURES`, or ``all``.

    Raises:
        ValueError: ``sources`` is empty, or a number is out of its range.
        InputError: Banks cannot be compared, there is no such geometry, ``min_count`` leaves no class, or only one
            while the geometry takes the centre off.
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
    kept = [source.at_least(min_count) for source in sources]
    metric = fit_geometry(geometry, [target], kept)
    if metric.centre is not None and sum(len(bank.classes) for bank in kept) < _LEAST_CLASSES:
        bootstrap = 0
    with progress("transport", total=len(kept) * (1 + bootstrap)) as advance:
        points, target_points = [metric.points(bank.means) for bank in kept], metric.points(target.means)
        counts = [bank.counts for bank in kept]
        scale = calibrated_gamma(target_points, target.counts, points, counts) if gamma is None else given_gamma(gamma)
        results = []
        for bank, its_points in zip(kept, points, strict=True):
            results.append(emd(its_points, bank.counts, target_points, target.counts))
            advance(note=bank.name)
        intervals: list[Interval | None] = [None] * len(kept)
        true_gamma = None
        few = all(len(bank.classes) * len(target.classes) <= EXACT_PAIRS for bank in kept)
        if bootstrap and few and not any(result.solver == "semi-dual" for result in results):
            clouds = mean_clouds(metric, [target, *kept])
            true_gamma = gamma_without_noise(scale, clouds, [target.counts, *counts], unit_length=metric.unit_length)
            intervals = [
                distance_interval(
                    cloud,
                    clouds[0],
                    unit_length=metric.unit_length,
                    replicates=bootstrap,
                    generator=np.random.default_rng((seed, i)),
                    advance=advance,
                )
                for i, cloud in enumerate(clouds[1:])
            ]
    domains = [_domain(*row, scale.value, true_gamma) for row in zip(kept, results, intervals, strict=True)]
    if names:
        evidence = side_by_side(target, kept, geometry=metric, seed=seed)
        with progress("measures", total=len(kept)) as advance:
            for i, one in enumerate(evidence):
                domains[i] = replace(domains[i], measures=measure(names, one, comparing="sources"))
                advance(note=kept[i].name)
    domains.sort(key=lambda domain: domain.emd)
    return Ranking(target.name, tuple(domains), geometry, scale.value, scale.meaning, target.classes)


def _domain(
    bank: FeatureBank, result: TransportResult, interval: Interval | None, gamma: float, true_gamma: float | None
) -> Domain:
    value = similarity(result.value, gamma)
    distances = similarities = None
    if interval is not None:
        held = interval.holding(result.value)
        distances = held.low, held.high
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
