"""Ranked source domains, and what they are ranked by.

Two distances stand side by side. The Earth Mover's Distance (Cui et al., CVPR 2018) makes each source class send all
its mass, so that a broad source pays for its classes that have nothing to do with the target. The nearest-class
distance leaves the source's row sums free: it is semi-relaxed transport, the least Earth Mover's Distance over all
weights of the source's classes, and so the mean distance of the target's classes to their nearest source class. It
tells how well the source could serve the target once its classes are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from similarity.measures import Score, Unmeasured, reasons, values
from similarity.transport.earth_movers_distance import TransportResult
from similarity.uncertainty.expected_gain import Expectation
from similarity.uncertainty.interval import Interval

#: Confidence below which two sources count as tied.
TIED_BELOW = 0.95


@dataclass(frozen=True, eq=False)
class Domain:
    """One source domain compared with the target. Distances are in units of the geometry.

    Intervals are of the distance between the true class means, extended to contain the plug-in distance. Their
    estimates are corrected for the sampling noise of the class means, which makes the plug-in distances too large. They
    are None without a bootstrap, and where :attr:`Ranking.without_intervals` says why.

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
        images: Number of images of these classes; None if it is not known.
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
    images: int | None
    class_names: tuple[str, ...]
    transport: TransportResult
    served: TransportResult
    nearer_than_next: float | None = None
    measures: Mapping[str, Score | Unmeasured] = field(default_factory=dict)

    @property
    def nearest_class_distance(self) -> float:
        """Plug-in mean distance of the target's classes to their nearest source class."""
        return self.served.value

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
        order: Name of the distance that they are ranked by, one of :data:`ORDERS`.
        geometry: Name of the requested ground metric.
        gamma: γ of the similarity.
        half: The distance at which the similarity is 0.5, in words that end a sentence.
        target_classes: Names of the target's classes, in the order of the plans' columns.
        geometry_steps: The steps that the fitted geometry takes: see :attr:`similarity.Geometry.description`.
        expected: What the first source can be expected to gain over one by chance, and over all sources together.
        without_intervals: Why no domain has intervals, in words: a centred geometry of fewer than three source classes,
            a source too large to resample, one image in every class, or class means alone. None if they have.
        dropped: Dataset specs of the sources without a class of ``min_count`` images.
        given: Dataset specs of all sources in the order given, by which they are numbered.
    """

    target: str
    domains: tuple[Domain, ...]
    order: str
    geometry: str
    gamma: float
    half: str
    target_classes: tuple[str, ...]
    geometry_steps: str
    expected: Expectation
    without_intervals: str | None = None
    dropped: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

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
            "expected_gain": self.expected.to_json(),
        }
        taken = [domain.measures for domain in self.domains]
        return found | ({"unmeasured": reasons(taken)} if taken[0] else {})


@dataclass(frozen=True)
class Order:
    """A distance that sources are ranked by.

    Attributes:
        name: What the user types.
        meaning: One line that says what the distance is.
        plan: The plan of a domain whose mean distance it is.
        interval: The interval of a domain.
        corrected: Whether sources are ranked by the corrected estimates, if every source has one; the plug-in distances
            rank otherwise.
    """

    name: str
    meaning: str
    plan: Callable[[Domain], TransportResult]
    interval: Callable[[Domain], Interval | None]
    corrected: bool

    def ranked(self, domains: Sequence[Domain]) -> tuple[Domain, ...]:
        """The domains by ascending distance, each with the confidence that it is nearer than the next."""
        found = [self.interval(domain) for domain in domains]
        estimates = [interval.estimate for interval in found if interval and interval.estimate is not None]
        known = self.corrected and len(estimates) == len(domains)
        distances = estimates if known else [self.plan(domain).value for domain in domains]
        ranked = [domains[i] for i in np.argsort(distances, kind="stable")]
        for place, (domain, following) in enumerate(pairwise(ranked)):
            mine, other = self.interval(domain), self.interval(following)
            if mine is not None and other is not None:
                ranked[place] = replace(domain, nearer_than_next=mine.nearer_than(other))
        return tuple(ranked)


#: Every order by name.
ORDERS = {
    row.name: row
    for row in (
        Order(
            "nearest-class",
            "mean distance of the target's classes to their nearest source class",
            lambda domain: domain.served,
            lambda domain: domain.nearest_class_interval,
            corrected=True,
        ),
        Order(
            "emd",
            "Earth Mover's Distance, as in the paper: every source class counts, also one that is like no target class",
            lambda domain: domain.transport,
            lambda domain: domain.emd_interval,
            corrected=False,
        ),
    )
}
#: The distance that puts the source with the target's kind first: see ``benchmarks/domain_ranking.py``.
DEFAULT_ORDER = "nearest-class"
#: Bootstrap replicates of an interval.
BOOTSTRAP = 20
