"""The source classes that a target may choose from, as points of one geometry, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from similarity.distances import (
    mean_distances,
    mean_squared_distances,
    nearest_distances,
    neighbour_squared_distances,
    pairwise_distances,
    shares,
)
from similarity.geometry import Geometry, fit_geometry

#: Neighbours that tell how crowded a source class is: the number of CSLS (Conneau et al., ICLR 2018).
NEIGHBOURS = 10


def class_scores(
    source_points: NDArray[np.floating],
    target_points: NDArray[np.floating],
    target_weights: NDArray[np.number],
    crowding: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Score each source class alone against a target; less is nearer.

    The Earth Mover's Distance of one class to the target is d_i = Σ_j w_j ‖s_i − t_j‖, because all mass comes from one
    point (Cui et al., CVPR 2018). With local scaling the score is 2·Σ_j w_j ‖s_i − t_j‖² − r_i, where r_i is the mean
    squared distance of the class to its nearest other source classes. A class that is near everything must then be
    nearer to the target than to its neighbours. On points of length 1, where ‖x − y‖² = 2 − 2·cos(x, y), this is CSLS
    (Conneau et al., ICLR 2018) with the scale taken within the sources; the target's scale is a constant and drops out.

    Args:
        source_points: (S, D) points of a geometry.
        target_points: (T, D) points of the same geometry.
        target_weights: (T,) non-negative, not all zero.
        crowding: (S,) the r_i, from :func:`similarity.distances.neighbour_squared_distances` of the points,
            with :data:`NEIGHBOURS`; None for the mean distance d_i.

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
        banks: The sources, reduced to the classes that take part.
        bank: (S,) position in ``banks`` of the bank of each class.
        classes: (S,) name of each class.
        counts: (S,) images of each class; 1 each for a bank that does not know them.
        points: (S, D) point of each class.
        metric: The fitted geometry.
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
        """The source classes of at least ``min_count`` images, in a geometry fitted to all banks.

        Errors are those of :func:`similarity.select_classes`.
        """
        require_distinct(targets, sources)
        if any(";" in target.name for target in targets):
            names = [target.name for target in targets]
            raise InputError(
                f"`target`: a dataset spec must not hold ';', which separates the targets in a subset file: {names}"
            )
        kept = tuple(sources_with_classes(sources, min_count))
        metric = fit_geometry(geometry, targets, kept)
        return cls(
            banks=kept,
            bank=np.repeat(np.arange(len(kept)), [len(bank.classes) for bank in kept]),
            classes=tuple(name for bank in kept for name in bank.classes),
            counts=np.concatenate([bank.counts for bank in kept]),
            points=metric.points(kept[0].means if len(kept) == 1 else np.concatenate([bank.means for bank in kept])),
            metric=metric,
            min_count=min_count,
        )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def uncounted(self) -> FeatureBank | None:
        """A bank that does not know the images of its classes; None if all do."""
        return next((bank for bank in self.banks if not bank.counts_known), None)

    @cached_property
    def crowding(self) -> NDArray[np.float64]:
        """(S,) mean squared distance of each class to its nearest other classes."""
        return neighbour_squared_distances(self.points, NEIGHBOURS)

    def distances(self, target: FeatureBank) -> NDArray[np.float64]:
        """(S, T) distance of each class to each class of a target."""
        return pairwise_distances(self.points, self.metric.points(target.means))

    def nearest(self, target: FeatureBank) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How near each class is to its nearest class of a target, and to how much of the target it is the nearest.

        Returns:
            (S,) distances, and (S,) shares of the target's images in the classes whose nearest class of the pool it is.
        """
        to_nearest, _, nearest = nearest_distances(self.points, self.metric.points(target.means))
        counted = np.bincount(nearest, weights=shares(target.counts), minlength=len(self))
        return to_nearest, counted.astype(np.float64)

    def scores(self, target: FeatureBank, crowding: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """(S,) :func:`class_scores` of every class against a target, whose classes are weighted by their images."""
        return class_scores(self.points, self.metric.points(target.means), target.counts, crowding)


def sources_with_classes(sources: Sequence[FeatureBank], min_count: int) -> list[FeatureBank]:
    """The sources cut to their classes of at least ``min_count`` images.

    A source without such a class is dropped, which a line on the console says.

    Raises:
        InputError: No class has so many images, or a source does not know the images of its classes.
    """
    if min_count > 1 and (uncounted := [bank.name for bank in sources if not bank.counts_known]):
        raise InputError(
            f"`min_count` {min_count}: of {uncounted[0]} the number of images of each class is not known; leave "
            f"`min_count` out"
        )
    largest = [int(bank.counts.max()) for bank in sources]
    if max(largest) < min_count:
        raise InputError(f"`min_count` {min_count}: no source class has so many images; the largest has {max(largest)}")
    for bank, most in zip(sources, largest, strict=True):
        if most < min_count:
            console.print(f"{bank.name}: dropped, no class has {min_count} images (the largest has {most})")
    return [bank.at_least(min_count) for bank, most in zip(sources, largest, strict=True) if most >= min_count]


def require_distinct(targets: Sequence[FeatureBank], sources: Sequence[FeatureBank]) -> None:
    """Raise ``InputError`` for banks that results could not tell apart; a line names a target that is a source too."""
    for argument, banks in (("target", targets), ("source", sources)):
        if not banks:
            raise ValueError(f"`{argument}s` must hold at least one feature bank, got none")
        names = [bank.name for bank in banks]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"`{argument}`: {twice[0]} is given twice; give each dataset once")
    for bank in sources:
        if bank.name in [target.name for target in targets]:
            console.print(f"{bank.name}: is the target and a source, so its own classes come first")
