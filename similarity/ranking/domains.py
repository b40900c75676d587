"""Rank source domains by their distance to a target.

Two distances stand side by side. The Earth Mover's Distance (Cui et al., CVPR 2018) makes each source class send all
its mass, so that a broad source pays for its classes that have nothing to do with the target. The nearest-class
distance leaves the source's row sums free: it is semi-relaxed transport, the least Earth Mover's Distance over all
weights of the source's classes, and so the mean distance of the target's classes to their nearest source class. It
tells how well the source could serve the target once its classes are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from features.bank import FeatureBank
from features.infrastructure.console import progress
from similarity.geometry import DEFAULT_GEOMETRY, Geometry, fit_geometry
from similarity.measures import Score, Unmeasured, measure, measure_names, reasons, side_by_side, values
from similarity.ranking.calibration import Gamma, calibrated_gamma, gamma_without_noise, given_gamma
from similarity.selection.pool import sources_with_classes
from similarity.transport.earth_movers_distance import EXACT_PAIRS, TransportResult, emd, similarity
from similarity.transport.network_simplex import balanced_plan
from similarity.transport.semi_relaxed import nearest_plan, semi_relaxed
from similarity.uncertainty.interval import Interval, distance_intervals
from similarity.uncertainty.sampling_error import mean_clouds

#: Fewest source classes for intervals in a centred geometry. The centre is the mean of the source classes: a single
#: class coincides with it, and two classes lie opposite each other, whatever their means are.
_LEAST_CLASSES = 3


#: How sources are ranked, and what each distance is.
ORDERS = {
    "nearest-class": "the mean distance of the target's classes to their nearest source class",
    "emd": "the Earth Mover's Distance, as in the paper: every source class sends all its mass",
}
#: The distance that puts the source with the target's kind first: see ``benchmarks/domain_ranking.py``.
DEFAULT_ORDER = "nearest-class"
#: Confidence below which two sources count as tied.
TIED_BELOW = 0.95


@dataclass(frozen=True, eq=False)
class Domain:
    """One source domain compared with the target. Distances are in units of the geometry.

    Intervals are of the distance between the true class means, and their estimates are corrected for the sampling noise
    of the class means, which makes the plug-in distances too large. They are None without a bootstrap, if the geometry
    is centred and there are fewer than three source classes, if every class of every bank has one image, or if a source
    is too large to resample.

    Attributes:
        source: Dataset spec of the source.
        emd: Plug-in Earth Mover's Distance to the target, that of the sample means: the paper's.
        emd_interval: Its corrected estimate and 95 % interval.
        nearest_class_interval: Corrected estimate and 95 % interval of ``nearest_class_distance``.
        nearer_than_next: Confidence, 0 to 1, that the source is nearer than the next one of the ranking, by paired
            resampling. None for the last one or without intervals.
        similarity: exp(−γ·emd). Comparable only between sources of one target in one geometry.
        interval: 95 % interval of the similarity, extended to contain ``similarity``. It applies a calibrated γ that
            is corrected for sampling noise too, and is 0 to 1 if noise explains all distances that γ is calibrated on.
        classes: Number of classes compared.
        images: Number of images of these classes.
        class_names: Names of the classes, in the order of the plan's rows.
        transport: The optimal plan of the Earth Mover's Distance from the source's classes to the target's, and its
            bounds.
        served: The plan of the nearest-class distance: which source class is nearest to each target class.
        measures: Other measures of transferability by name, if requested.
    """

    source: str
    emd: float
    emd_interval: Interval | None
    nearest_class_interval: Interval | None
    similarity: float
    interval: tuple[float, float] | None
    classes: int
    images: int
    class_names: tuple[str, ...]
    transport: TransportResult
    served: TransportResult
    nearer_than_next: float | None = None
    measures: Mapping[str, Score | Unmeasured] = field(default_factory=dict)

    @property
    def nearest_class_distance(self) -> float:
        """Plug-in mean distance of the target's classes to their nearest source class."""
        return self.served.value

    def plan_by(self, order: str) -> TransportResult:
        """The plan of the distance that an order of :data:`ORDERS` ranks by."""
        return self.transport if order == "emd" else self.served

    def interval_by(self, order: str) -> Interval | None:
        """The interval of the distance that an order of :data:`ORDERS` ranks by."""
        return self.emd_interval if order == "emd" else self.nearest_class_interval

    def to_json(self) -> dict[str, Any]:
        """One entry of ``domains`` in the output of ``transfer rank --json``; a missing interval is two nulls."""
        found: dict[str, Any] = {"source": self.source}
        for name, value, interval in (
            ("emd", self.emd, self.emd_interval),
            ("nearest_class_distance", self.nearest_class_distance, self.nearest_class_interval),
        ):
            found[name] = value
            found[f"{name}_estimate"] = interval and interval.estimate
            found[f"{name}_interval"] = [interval.low, interval.high] if interval else [None, None]
        return found | {
            "nearer_than_next": self.nearer_than_next,
            "similarity": self.similarity,
            "interval": list(self.interval or (None, None)),
            "classes": self.classes,
            "images": self.images,
            "solver": self.transport.solver,
            "emd_bounds": [self.transport.lower_bound, self.transport.upper_bound],
            **({"measures": values(self.measures)} if self.measures else {}),
        }


@dataclass(frozen=True, eq=False)
class Ranking:
    """Source domains, nearest first.

    Attributes:
        target: Dataset spec of the target.
        domains: The sources in ascending order of what ranks: the plug-in distance for ``emd``; for ``nearest-class``
            the estimate, or the plug-in distance if a source has none. Ties keep the order given.
        order: The distance that they are ranked by, one of :data:`ORDERS`.
        geometry: Name of the requested ground metric.
        gamma: γ of the similarity.
        half: The distance at which the similarity is 0.5, in words that end a sentence.
        target_classes: Names of the target's classes, in the order of the plans' columns.
        geometry_steps: The steps that the fitted geometry takes: see :attr:`similarity.Geometry.description`.
        dropped: Dataset specs of the sources without a class of ``min_count`` images.
    """

    target: str
    domains: tuple[Domain, ...]
    order: str
    geometry: str
    gamma: float
    half: str
    target_classes: tuple[str, ...]
    geometry_steps: str
    dropped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The output of ``transfer rank --json``."""
        found = {
            "target": self.target,
            "order": self.order,
            "geometry": self.geometry,
            "geometry_steps": self.geometry_steps,
            "gamma": self.gamma,
            "dropped": list(self.dropped),
            "domains": [domain.to_json() for domain in self.domains],
        }
        taken = [domain.measures for domain in self.domains]
        return found | ({"unmeasured": reasons(taken)} if taken[0] else {})


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
        order: The distance to rank by, one of :data:`ORDERS`: the paper's plug-in distance for ``emd``, the corrected
            estimate for ``nearest-class`` if every source has one.

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
    return Ranking(
        target=target.name,
        domains=_ranked(domains, order),
        order=order,
        geometry=geometry,
        gamma=scale.value,
        half=scale.meaning,
        target_classes=target.classes,
        geometry_steps=metric.description,
        dropped=tuple(bank.name for bank in sources if not (bank.counts >= min_count).any()),
    )


def _ranked(domains: Sequence[Domain], order: str) -> tuple[Domain, ...]:
    """The domains by ascending distance, each with the confidence that it is nearer than the next."""
    if order == "emd":
        distances = [domain.emd for domain in domains]
    else:
        known = [domain.nearest_class_interval for domain in domains]
        estimates = [interval.estimate for interval in known if interval and interval.estimate is not None]
        distances = estimates if len(estimates) == len(known) else [d.nearest_class_distance for d in domains]
    ranked = [domains[i] for i in np.argsort(distances, kind="stable")]
    for place, (domain, following) in enumerate(pairwise(ranked)):
        mine, other = domain.interval_by(order), following.interval_by(order)
        if mine is not None and other is not None:
            ranked[place] = replace(domain, nearer_than_next=mine.nearer_than(other))
    return tuple(ranked)


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
    vary = metric.centre is None or sum(len(bank.classes) for bank in sources) >= _LEAST_CLASSES
    known = any(bank.counts.max() > 1 for bank in (target, *sources))
    small = all(len(bank.classes) * len(target.classes) <= EXACT_PAIRS for bank in sources)
    if not (replicates and vary and known and small):
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
    of_emd, of_nearest = intervals
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
        images=int(bank.counts.sum()),
        class_names=bank.classes,
        transport=result,
        served=served,
    )
