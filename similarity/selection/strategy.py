"""Strategies: the order in which a target takes source classes, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.catalogue import Catalogue
from similarity.selection.pool import SourcePool

#: Seed of a random generator; a tuple holds the seed of the selection and the position of the target.
Seed: TypeAlias = "int | tuple[int, ...]"


@dataclass(frozen=True, eq=False)
class Ordering:
    """The source classes that a strategy takes for one target.

    Attributes:
        classes: (K,) positions in the pool, in the order taken.
        scores: (S,) the score of every class of the pool; less is nearer.
        shares: (S,) share of the target, weighted by its images, that each class of the pool serves; the sum is 1.
            None if the strategy has no such share.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    shares: NDArray[np.float64] | None = None

    @classmethod
    def ascending(cls, scores: NDArray[np.float64], size: int, shares: NDArray[np.float64] | None = None) -> Ordering:
        """The ``size`` classes of the least scores; equal scores are in the order of the pool."""
        return cls(np.argsort(scores, kind="stable")[:size], scores, shares)


@dataclass(frozen=True)
class ChoiceCertificate:
    """How near a choice is to the best one of its size.

    Attributes:
        distance: Mean distance of the target's classes, weighted by their images, to the nearest chosen class.
        bound: Lower bound of that distance over all choices of as many classes.
    """

    distance: float
    bound: float


@dataclass(frozen=True)
class Strategy:
    """One way to order source classes for a target.

    Attributes:
        name: What the user types.
        meaning: One line that says which classes are taken.
        order: Takes the pool, the target's bank, the number K of classes (1 to S) and the seed; returns the first K
            classes. What ties, such as equal scores, is in the order of the pool.
        ranked_by: What the column ``distance`` of a subset holds: a mean distance to the target, or another score.
        has_shares: Whether its orderings have shares.
        takes_all: Whether every class is taken, so that no size can be given.
        phrase: Describes a choice in reports; a format string of ``classes`` (a number), ``name`` and ``geometry``.
        certify: Takes the pool, the target's bank and the (K,) classes taken; returns how near the choice is to the
            best one of its size. None if nothing can be proved.
        curve: Takes the pool, the target's bank and the seed; returns the ordering along the curve of a selection. None
            for ``order`` over all classes.
        place: Its place in lists: 0, or 1 for a control, which others are compared with.
    """

    name: str
    meaning: str
    order: Callable[[SourcePool, FeatureBank, int, Seed], Ordering]
    ranked_by: Literal["distance", "score"] = "distance"
    has_shares: bool = False
    takes_all: bool = False
    phrase: str = "{classes} by {name}, {geometry}"
    certify: Callable[[SourcePool, FeatureBank, NDArray[np.int64]], ChoiceCertificate] | None = None
    curve: Callable[[SourcePool, FeatureBank, Seed], Ordering] | None = None
    place: int = 0

    def without_shares(self) -> str:
        """Say that the strategy has no shares."""
        return f"`strategy` {self.name} does not tell how much of the target a class serves"

    def describe(self, classes: int | str | None, geometry: str) -> str:
        """The ``phrase`` of a choice of so many classes in a geometry."""
        return self.phrase.format(classes=classes, name=self.name, geometry=geometry)


def by_score(
    scores: Callable[[SourcePool, FeatureBank], NDArray[np.float64]],
) -> Callable[[SourcePool, FeatureBank, int, Seed], Ordering]:
    """The ``order`` of a strategy that takes the classes of the least (S,) ``scores`` for a target, without shares."""
    return lambda pool, target, size, seed: Ordering.ascending(scores(pool, target), size)


def by_share(
    shares: Callable[[SourcePool, FeatureBank, Seed], NDArray[np.float64]],
) -> Callable[[SourcePool, FeatureBank, int, Seed], Ordering]:
    """The ``order`` of a strategy that takes the classes of the largest (S,) ``shares``; the score is their negative.

    Classes without a share come last, nearest to a target class first.
    """

    def order(pool: SourcePool, target: FeatureBank, size: int, seed: Seed) -> Ordering:
        found = shares(pool, target, seed)
        return Ordering(np.lexsort((pool.nearest(target)[0], -found))[:size], -found, found)

    return order


#: Every strategy by name. A new one is a module of :mod:`similarity.selection.strategies` that defines its row.
STRATEGIES = Catalogue("strategy", Strategy, "similarity.selection.strategies", "transfer.strategies")
#: The strategy that finds related classes best: see ``benchmarks/selection_quality.py``.
DEFAULT_STRATEGY = "mutual-proximity"


def with_shares() -> str:
    """The names of the strategies that have shares, for messages."""
    return ", ".join(name for name, row in STRATEGIES.items() if row.has_shares)
