"""What ends a choice: a number of classes, a budget of images, or a share of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import Ordering, Strategy, with_shares

#: Share of the target that the chosen classes serve if no limit is given (Lafargue et al., 2024).
DEFAULT_COVERAGE = 0.9
#: Shares of the target for which the number of classes is told.
MILESTONES = (0.5, 0.8, 0.9, 0.95)
#: Round-off of a sum of shares.
_ROUND_OFF = 1e-9


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many classes each target may choose: the arguments of :func:`similarity.select_classes`.

    Attributes:
        classes: Number of classes of each target without a quota.
        quotas: The number of each target; None stands for ``classes``.
        images: Budget of images for each target.
        coverage: Share of each target that its classes serve.
        drop: Number of classes to leave out, instead of all others.
    """

    classes: int | None = None
    quotas: Sequence[int | None] | None = None
    images: int | None = None
    coverage: float | None = None
    drop: int | None = None

    @property
    def has_budget(self) -> bool:
        """Whether a size other than ``drop`` is given."""
        given = (self.classes, self.images, self.coverage, *(self.quotas or ()))
        return any(size is not None for size in given)


@dataclass(frozen=True)
class Limit:
    """The limits of one target; the one reached first ends its choice.

    Attributes:
        classes: Most classes.
        images: Most images of the classes together. None for no limit.
        coverage: The share of the target at which no further class is taken. None for no limit.
    """

    classes: int
    images: int | None
    coverage: float | None

    def cut(self, found: Ordering, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], str | None]:
        """The first classes of an ordering within the limits, and the name of the limit that ended them.

        ``counts`` (S,) are the images of each class of the pool. No limit ended a choice of all classes.

        Raises:
            InputError: The first class alone has more images than the budget.
        """
        sizes = {"classes": min(self.classes, len(found.classes))}
        if self.coverage is not None:
            sizes["coverage"] = classes_for(found, self.coverage) or len(found.classes)
        if self.images is not None:
            affordable = np.cumsum(counts[found.classes]) <= self.images
            sizes["images"] = int(affordable.sum())
            if not affordable[0]:
                first = counts[found.classes[0]]
                raise InputError(f"`images` {self.images}: the first class alone has {first}; raise the budget")
        ended_by = min(sizes, key=sizes.__getitem__)
        return found.classes[: sizes[ended_by]], ended_by if sizes[ended_by] < len(counts) else None


def limits(pool: SourcePool, targets: Sequence[FeatureBank], strategy: Strategy, sizes: Sizes) -> list[Limit]:
    """The limits of each target; errors are those of :func:`similarity.select_classes`."""
    if sizes.quotas is not None and len(sizes.quotas) != len(targets):
        raise ValueError(f"`quotas` must have one entry a target, got {len(sizes.quotas)} for {len(targets)} targets")
    if strategy.takes_all and (sizes.has_budget or sizes.drop is not None):
        raise InputError(
            f"`strategy` {strategy.name} takes every class; leave out `classes`, `images`, `coverage`, `drop` and the "
            f"targets' quotas"
        )
    if sizes.drop is not None:
        if sizes.has_budget:
            raise InputError(
                f"`drop` {sizes.drop}: takes all classes but the last ones; leave out `classes`, `images`, `coverage` "
                f"and the targets' quotas"
            )
        check_drop(sizes.drop, len(pool))
    if strategy.takes_all or sizes.drop is not None:
        return [Limit(len(pool), None, None)] * len(targets)
    if sizes.coverage is not None:
        _check_coverage(sizes.coverage, strategy)
    if sizes.images is not None and pool.uncounted is not None:
        raise InputError(
            f"`images` {sizes.images}: of {pool.uncounted.name} the number of images of each class is not known; give "
            f"`classes` or `coverage`"
        )
    own = [sizes.classes if quota is None else quota for quota in sizes.quotas or [None] * len(targets)]
    return [
        _limit(pool, target, size, sizes.images, sizes.coverage, strategy)
        for target, size in zip(targets, own, strict=True)
    ]


def check_drop(drop: int, available: int) -> None:
    """Raise ``InputError`` for a number of classes to leave out that leaves none of those that the sources have."""
    if not 1 <= drop < available:
        raise InputError(
            f"`drop` {drop}: not possible; the sources have {available} classes; give 1 to {available - 1}"
        )


def check_classes(classes: int, available: int, target: str, min_count: int = 0) -> None:
    """Raise ``InputError`` for a number of classes that the sources do not have, each of at least ``min_count`` images.

    Args:
        classes: Number of classes to choose.
        available: Number of source classes that have so many images.
        target: What the classes are chosen for, for the message.
        min_count: The least number of images of a source class.
    """
    if not 1 <= classes <= available:
        least = f" of at least {min_count} images" if min_count > 0 else ""
        raise InputError(
            f"`classes` {classes}: not possible for {target}; the sources have {available} classes{least}; "
            f"ask for 1 to {available}"
        )


def _limit(
    pool: SourcePool,
    target: FeatureBank,
    size: int | None,
    images: int | None,
    coverage: float | None,
    strategy: Strategy,
) -> Limit:
    """The limits of one target; without any, :data:`DEFAULT_COVERAGE`."""
    available = len(pool)
    if size is not None:
        check_classes(size, available, target.name, pool.min_count)
    if size is None and images is None and coverage is None:
        if not strategy.has_shares:
            raise InputError(
                f"`classes` is missing: say how many of the {available} source classes {target.name} needs, or give "
                f"a budget with `images`: {strategy.without_shares()}, so that no share can end the choice"
            )
        coverage = DEFAULT_COVERAGE
    return Limit(size or available, images, coverage)


def _check_coverage(coverage: float, strategy: Strategy) -> None:
    """Raise ``InputError`` for a share out of its range, or a strategy without shares."""
    if not 0 < coverage <= 1:
        raise InputError(f"`coverage` {coverage}: expected a share of the target above 0 and at most 1, such as 0.8")
    if not strategy.has_shares:
        raise InputError(
            f"`coverage`: {strategy.without_shares()}; give `classes` or `images`, or one of the strategies "
            f"{with_shares()}"
        )


def classes_for(found: Ordering, share: float) -> int | None:
    """The number of first classes of an ordering whose shares sum to ``share``; None if all of them have less."""
    if found.shares is None:
        return None
    reached = np.cumsum(found.shares[found.classes]) >= share - _ROUND_OFF
    return int(np.argmax(reached)) + 1 if reached.any() else None
