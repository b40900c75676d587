"""The source classes that a target may choose from, and the order in which a strategy takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice
from similarity.distances import (
    mean_distances,
    mean_squared_distances,
    neighbour_squared_distances,
    pairwise_distances,
)
from similarity.geometry import Geometry, fit_geometry
from similarity.selection.facility_location import cover

#: Name and meaning of every strategy.
STRATEGIES = {
    "nearest": "classes nearest to the target on average, as in the paper",
    "local-scaling": "as nearest, less the distance to the class's own neighbours: hubs lose their lead",
    "coverage": "classes that together lie near every target class",
    "random": "classes drawn by chance, the control",
    "all": "every class, nearest first",
}
#: Own neighbours that say how crowded the place of a source class is: as many as CSLS was published with.
NEIGHBOURS = 10


def check_strategy(name: str) -> None:
    """Refuse what is no strategy.

    Raises:
        InputError: It is not one of :data:`STRATEGIES`.
    """
    if name not in STRATEGIES:
        raise InputError(f"--strategy {name}: there is no such strategy; {choice(name, STRATEGIES)}")


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
        kept = tuple(sources_with_classes(sources, min_count))
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

    def order(
        self,
        target: FeatureBank,
        strategy: str,
        size: int,
        seed: int | tuple[int, ...] = 0,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The first ``size`` classes that a strategy takes for a target.

        Args:
            target: All its classes take part, weighted by their images.
            strategy: One of :data:`STRATEGIES`.
            size: 1 to S.
            seed: Of ``random``.

        Returns:
            (size,) positions in the pool, and (S,) the score of every class, which is the distance for all
            strategies but ``local-scaling``. Equal scores are in the order of the pool.
        """
        target_points = self.metric.points(target.means)
        crowding = self.crowding if strategy == "local-scaling" else None
        scores = class_scores(self.points, target_points, target.counts, crowding)
        if strategy == "coverage":
            return cover(self.distances(target), target.counts, size), scores
        if strategy == "random":
            return np.random.default_rng(seed).permutation(len(self))[:size], scores
        return np.argsort(scores, kind="stable")[:size], scores


def sources_with_classes(sources: Sequence[FeatureBank], min_count: int) -> list[FeatureBank]:
    """The sources cut to their classes of at least ``min_count`` images.

    A source without such a class is dropped, which a line on the console says.

    Raises:
        InputError: No source has such a class.
    """
    largest = [int(bank.counts.max()) for bank in sources]
    if max(largest) < min_count:
        raise InputError(f"`min_count` {min_count}: no source class has so many images; the largest has {max(largest)}")
    for bank, most in zip(sources, largest, strict=True):
        if most < min_count:
            console.print(f"{bank.name}: dropped, no class has {min_count} images (the largest has {most})")
    return [bank.at_least(min_count) for bank, most in zip(sources, largest, strict=True) if most >= min_count]


def _require_distinct(targets: Sequence[FeatureBank], sources: Sequence[FeatureBank]) -> None:
    """Refuse banks that the subset file could not tell apart."""
    for option, banks in (("--target", targets), ("--source", sources)):
        if not banks:
            raise ValueError(f"{option.strip('-')}s must hold at least one feature bank, got none")
        names = [bank.name for bank in banks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{option}: {twice} is given twice; give each dataset once")
        if option == "--target" and any(";" in name for name in names):
            raise InputError(
                f"--target: a dataset spec must not hold ';', which parts the targets in a subset: {names}"
            )
