"""Rank source domains by their Earth Mover's Distance to a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.progress import progress
from similarity.bootstrap import MeanSampler, basic_interval
from similarity.geometry import DEFAULT_GEOMETRY, Geometry, fit_geometry
from similarity.transport import GAMMA, TransportResult, emd, similarity


@dataclass(frozen=True, eq=False)
class Domain:
    """One source domain beside the target.

    Attributes:
        source: Its dataset spec.
        emd: Earth Mover's Distance to the target, in the units of the geometry.
        similarity: exp(−γ·emd). Comparable between sources of one target and one geometry only.
        interval: 95 % interval of the similarity, or None where no bootstrap was asked for; see
            :func:`similarity.bootstrap.basic_interval`.
        classes: Classes that took part.
        images: Images behind them.
        transport: The plan from its classes to the target's, and the bounds.
    """

    source: str
    emd: float
    similarity: float
    interval: tuple[float, float] | None
    classes: int
    images: int
    transport: TransportResult


@dataclass(frozen=True, eq=False)
class Ranking:
    """Source domains, best first.

    Attributes:
        target: Dataset spec of the target.
        domains: The sources by ascending distance; in the order given where distances are equal.
        geometry: The ground metric's name.
        gamma: γ of the similarity.
    """

    target: str
    domains: tuple[Domain, ...]
    geometry: str
    gamma: float

    def to_json(self) -> dict[str, Any]:
        """What ``transfer rank --json`` prints; an interval that was not asked for is two nulls."""
        return {
            "target": self.target,
            "domains": [
                {
                    "source": domain.source,
                    "emd": domain.emd,
                    "similarity": domain.similarity,
                    "interval": list(domain.interval or (None, None)),
                    "classes": domain.classes,
                    "images": domain.images,
                }
                for domain in self.domains
            ],
        }


def rank_domains(
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    *,
    geometry: str = DEFAULT_GEOMETRY,
    gamma: float = GAMMA,
    min_count: int = 0,
    bootstrap: int = 0,
    seed: int = 0,
) -> Ranking:
    """Rank source domains by similarity to a target (Cui et al., CVPR 2018).

    A class weighs as much as it has images.

    Args:
        target: The target's bank; all its classes take part.
        sources: The sources' banks, at least one.
        geometry: Ground metric, one of :data:`similarity.GEOMETRIES`, fitted to all banks together.
        gamma: γ of the similarity, positive.
        min_count: Source classes of fewer images are left out (the paper: 200).
        bootstrap: Replicates behind the intervals, each one more transport problem a source; 0 for none.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: ``sources`` is empty, or a number is out of its range.
        InputError: Banks cannot be compared, there is no such geometry, or ``min_count`` leaves no class.
    """
    if not sources:
        raise ValueError("sources must hold at least one feature bank, got none")
    if not gamma > 0:
        raise ValueError(f"gamma must be positive, got {gamma}")
    for name, number in (("min_count", min_count), ("bootstrap", bootstrap)):
        if number < 0:
            raise ValueError(f"{name} must be at least 0, got {number}")
    kept = [source.at_least(min_count) for source in sources]
    metric = fit_geometry(geometry, [target], kept)
    with progress("transport", total=len(kept) * (1 + bootstrap)) as advance:
        results = []
        target_points = metric.points(target.means)
        for bank in kept:
            results.append(emd(metric.points(bank.means), bank.counts, target_points, target.counts))
            advance(note=bank.name)
        replicates = _replicates(metric, target, kept, bootstrap, seed, advance) if bootstrap else None
    domains = []
    for i, (bank, result) in enumerate(zip(kept, results, strict=True)):
        interval = None
        if replicates is not None:
            near, far = basic_interval(result.value, replicates[:, i])
            interval = similarity(far, gamma), similarity(near, gamma)
        domains.append(
            Domain(
                source=bank.name,
                emd=result.value,
                similarity=similarity(result.value, gamma),
                interval=interval,
                classes=len(bank.classes),
                images=int(bank.counts.sum()),
                transport=result,
            )
        )
    domains.sort(key=lambda domain: domain.emd)
    return Ranking(target.name, tuple(domains), geometry, gamma)


def _replicates(
    metric: Geometry,
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    bootstrap: int,
    seed: int,
    advance: Callable[..., None],
) -> NDArray[np.float64]:
    """(B, sources) distances between means drawn again; one draw of the target serves all sources."""
    generator = np.random.default_rng(seed)
    target_sampler, samplers = MeanSampler(target), [MeanSampler(source) for source in sources]
    values = np.empty((bootstrap, len(sources)))
    for row in values:
        target_points = metric.points(target_sampler.draw(generator))
        for i, (source, sampler) in enumerate(zip(sources, samplers, strict=True)):
            points = metric.points(sampler.draw(generator))
            row[i] = emd(points, source.counts, target_points, target.counts).value
            advance(note=source.name)
    return values
