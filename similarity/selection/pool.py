"""The source classes that a target may choose from, as points of one geometry, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.distances import (
    mean_distances,
    mean_squared_distances,
    neighbour_squared_distances,
    pairwise_distances,
)
from similarity.geometry import Geometry, fit_geometry

#: Own neighbours that say how crowded the place of a source class is: as many as CSLS was published with.
NEIGHBOURS = 10


def class_scores(
    source_points: NDArray[np.floating],
    target_points: NDArray[np.floating],
    target_weights: NDArray[np.number],
    crowding: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Score each source class alone against a target; less is nearer.

    The Earth Mover's Distance of one class to the target is d_i = Σ_j w_j ‖s_i − t_j‖: all mass
    comes from one place. With local scaling the score is 2·Σ_j w_j ‖s_i − t_j‖² − r_i, where r_i is the mean
    squared distance of the class to its own nearest source classes. On points of length 1, where
    ‖x − y‖² = 2 − 2·cos(x, y), that is CSLS (Conneau et al., ICLR 2018) with the scale taken within the sources;
    the target's own scale is a constant and falls out. A class that is near everything has to be nearer
    to the target than to its neighbours to count.

    Args:
        source_points: (S, D) points of a geometry.
        target_points: (T, D) points of the same geometry.
        target_weights: (T,) non-negative, not all zero.
        crowding: (S,) the r_i, from :func:`similarity.distances.neighbour_squared_distances` of the points,
            with :data:`NEIGHBOURS`; None for the distance alone.

    Returns:
        (S,) float64.
    """
    if crowding is None:
        return mean_distances(source_points, target_points, target_weights)
    return 2 * mean_squared_distances(source_points, target_points, target_weights) - crowding


@dataclass(frozen=True, eq=False)
class SourcePool:
    """All source classes as points of one geometry.

    Attributes:
        banks: The sources, cut to the classes that take part.
        bank: (S,) which of them each class is from.
        classes: (S,) its name.
        counts: (S,) its images.
        points: (S, D) its point.
        metric: The geometry.
        min_count: Classes of fewer images were left out.
    """

    banks: tuple[FeatureBank, ...]
    bank: NDArray[np.int64]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    points: NDArray[np.float64]
    metric: Geometry
    min_count: int

    @classmethod
    def of(
        cls, targets: Sequence[FeatureBank], sources: Sequence[FeatureBank], geometry: str, min_count: int = 0
    ) -> SourcePool:
        """The classes of at least ``min_count`` images of the sources, in a geometry fitted to all banks.

        Raises:
            ValueError: There is no target or no source.
            InputError: A bank is given twice, ``min_count`` leaves no class, the banks cannot be compared, or there
                is no such geometry.
        """
        _require_distinct(targets, sources)
        kept = tuple(_kept(sources, min_count))
        metric = fit_geometry(geometry, targets, kept)
        return cls(
            banks=kept,
            bank=np.repeat(np.arange(len(kept)), [len(bank.classes) for bank in kept]),
            classes=tuple(name for bank in kept for name in bank.classes),
            counts=np.concatenate([bank.counts for bank in kept]),
            points=np.concatenate([metric.points(bank.means) for bank in kept]),
            metric=metric,
            min_count=min_count,
        )

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def crowding(self) -> NDArray[np.float64]:
        """(S,) mean squared distance of each class to its nearest others."""
        return neighbour_squared_distances(self.points, NEIGHBOURS)

    def distances(self, target: FeatureBank) -> NDArray[np.float64]:
        """(S, T) distance of each class to each of the target's."""
        return pairwise_distances(self.points, self.metric.points(target.means))

    def scores(self, target: FeatureBank, crowding: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """(S,) :func:`class_scores` of every class against a target, whose classes weigh as they have images."""
        return class_scores(self.points, self.metric.points(target.means), target.counts, crowding)


def _kept(sources: Sequence[FeatureBank], min_count: int) -> list[FeatureBank]:
    """The sources without their classes of few images; a source that has none left drops out."""
    if not any((bank.counts >= min_count).any() for bank in sources):
        largest = max(int(bank.counts.max()) for bank in sources)
        raise InputError(f"`min_count` {min_count}: no source class has so many images; the largest has {largest}")
    return [bank.at_least(min_count) for bank in sources if (bank.counts >= min_count).any()]


def _require_distinct(targets: Sequence[FeatureBank], sources: Sequence[FeatureBank]) -> None:
    """Refuse banks that the subset file could not tell apart."""
    for argument, banks in (("target", targets), ("source", sources)):
        if not banks:
            raise ValueError(f"{argument}s must hold at least one feature bank, got none")
        names = [bank.name for bank in banks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"`{argument}`: {twice} is given twice; give each dataset once")
        if argument == "target" and any(";" in name for name in names):
            raise InputError(
                f"`target`: a dataset spec must not hold ';', which parts the targets in a subset: {names}"
            )
