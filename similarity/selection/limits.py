"""What ends a choice: a number of classes, a budget of images, or a share of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import STRATEGIES, Ordering, Strategy

#: Share of the target that the chosen classes serve if no limit is given (Lafargue et al., 2024).
DEFAULT_COVERAGE = 0.9
#: Shares of the target for which the number of classes is told.
MILESTONES = (0.5, 0.8, 0.9, 0.95)
#: Round-off of a sum of shares.
_ROUND_OFF = 1e-9


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


def limits(
    pool: SourcePool,
    targets: Sequence[FeatureBank],
    strategy: Strategy,
    *,
    classes: int | None = None,
    quotas: Sequence[int | None] | None = None,
    images: int | None = None,
    coverage: float | None = None,
) -> list[Limit]:
    """The limits of each target; arguments and errors as of :func:`similarity.select_classes`."""
    if quotas is not None and len(quotas) != len(targets):
        raise ValueError(f"`quotas` must have one entry a target, got {len(quotas)} for {len(targets)} targets")
    sizes = [classes if quota is None else quota for quota in quotas or [None] * len(targets)]
    given = images is not None or coverage is not None
    if strategy.takes_all:
        if given or any(size is not None for size in sizes):
            raise InputError(
                f"`strategy` {strategy.name} takes every class; leave out `classes`, `images`, `coverage` and the "
                f"targets' quotas"
            )
        return [Limit(len(pool), None, None)] * len(targets)
    if coverage is not None:
        _check_coverage(coverage, strategy)
    return [_limit(pool, target, size, images, coverage, strategy) for target, size in zip(targets, sizes, strict=True)]


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
    if size is not None and not 1 <= size <= available:
        least = f" of at least {pool.min_count} images" if pool.min_count > 0 else ""
        raise InputError(
            f"`classes` {size}: not possible for {target.name}; the sources have {available} classes{least}; "
            f"ask for 1 to {available}"
        )
    if size is None and images is None and coverage is None:
        if not strategy.has_shares:
            raise InputError(
                f"`classes` is missing: say how many of the {available} source classes {target.name} needs, or give "
                f"a budget with `images`: `strategy` {strategy.name} does not tell how much of the target a class "
                f"serves, so that no share can end the choice"
            )
        coverage = DEFAULT_COVERAGE
    return Limit(size or available, images, coverage)


def _check_coverage(coverage: float, strategy: Strategy) -> None:
    """Raise ``InputError`` for a share out of its range, or a strategy without shares."""
    if not 0 < coverage <= 1:
        raise InputError(f"`coverage` {coverage}: expected a share of the target above 0 and at most 1, such as 0.8")
    if not strategy.has_shares:
        able = ", ".join(name for name, row in STRATEGIES.items() if row.has_shares)
        raise InputError(
            f"`coverage`: `strategy` {strategy.name} does not tell how much of the target a class serves; give "
            f"`classes` or `images`, or one of the strategies {able}"
        )


def classes_for(found: Ordering, share: float) -> int | None:
    """The number of first classes of an ordering whose shares sum to ``share``; None if all of them have less."""
    if found.shares is None:
        return None
    reached = np.cumsum(found.shares[found.classes]) >= share - _ROUND_OFF
    return int(np.argmax(reached)) + 1 if reached.any() else None
