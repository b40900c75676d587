"""Select the source classes to pre-train on for one or several targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.geometry import DEFAULT_GEOMETRY
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import DEFAULT_STRATEGY, STRATEGIES, Strategy
from similarity.selection.subset import Subset, SubsetRow

#: Key of a certificate in the provenance of a target; its value is a :class:`similarity.ChoiceCertificate`.
CERTIFICATE = "coverage"


def select_classes(
    targets: Sequence[FeatureBank],
    sources: Sequence[FeatureBank],
    *,
    classes: int | None = None,
    quotas: Sequence[int | None] | None = None,
    images: int | None = None,
    strategy: str = DEFAULT_STRATEGY,
    geometry: str = DEFAULT_GEOMETRY,
    min_count: int = 0,
    seed: int = 0,
    certified: bool = True,
) -> Subset:
    """Select source classes for one or several targets (Cui et al., CVPR 2018).

    Each target chooses from all sources independently, and the subset is the union of the choices. A class that
    several targets choose has one row, with its best rank and all of these targets. Ties are broken by the order of
    the sources, then of their classes.

    The column ``distance`` of the subset holds the score of the strategy: see :attr:`similarity.Strategy.ranked_by`. If
    the strategy can certify its choices, the provenance of each target holds the
    :class:`similarity.selection.strategy.ChoiceCertificate`.

    Args:
        targets: Banks of the targets. All their classes take part, weighted by their images.
        sources: Banks of the sources, each dataset once.
        classes: Number of classes that each target chooses, 1 to the number of source classes.
        quotas: The same number for each target; None stands for ``classes``.
        images: Budget of images for each target: classes are taken in the strategy's order while their total number
            of images stays within the budget. With ``classes``, the limit reached first ends the choice.
        strategy: One of :data:`similarity.STRATEGIES`. Strategies that take every class take no size.
        geometry: Ground metric, one of :data:`similarity.GEOMETRIES`, fitted to all banks together.
        min_count: Source classes of fewer images are left out.
        seed: Seed of strategies that draw. The draw of a target depends on its position among the targets.
        certified: Whether choices are certified, if the strategy can: about a hundred more passes over the distances.

    Raises:
        ValueError: ``targets`` or ``sources`` is empty, or ``quotas`` does not have one entry a target.
        InputError: Unknown strategy or geometry, an impossible size, banks that cannot be compared or are given twice,
            or ``min_count`` leaves no class.
    """
    STRATEGIES.find(strategy)
    pool = SourcePool.of(targets, sources, geometry, min_count)
    options: dict[str, Any] = {"strategy": strategy, "seed": seed, "certified": certified}
    return select_from(pool, targets, classes=classes, quotas=quotas, images=images, **options)


def select_from(
    pool: SourcePool,
    targets: Sequence[FeatureBank],
    *,
    classes: int | None = None,
    quotas: Sequence[int | None] | None = None,
    images: int | None = None,
    strategy: str = DEFAULT_STRATEGY,
    seed: int = 0,
    certified: bool = True,
) -> Subset:
    """:func:`select_classes` from a given pool, whose geometry was fitted to these targets."""
    row = STRATEGIES.find(strategy)
    sizes = _sizes(pool, targets, classes, quotas, images, row)
    best: dict[int, tuple[int, int, float]] = {}  # class → (best rank, position of that target, distance)
    wanted: dict[int, list[str]] = {}
    asked = []
    for place, (target, size) in enumerate(zip(targets, sizes, strict=True)):
        found = row.order(pool, target, size, (seed, place))
        order = found.classes if images is None else _affordable(found.classes, pool.counts, images)
        for rank, index in enumerate(order.tolist(), start=1):
            entry = (rank, place, float(found.scores[index]))
            best[index] = min(best.get(index, entry), entry)
            wanted.setdefault(index, []).append(target.name)
        asked.append(_provenance(target) | {"classes": len(target.classes), "quota": size, "chosen": len(order)})
        if row.certify is not None and certified:
            asked[-1][CERTIFICATE] = asdict(row.certify(pool, target, order))
    rows = []
    for index in sorted(best, key=lambda index: best[index][:2]):
        rank, _, distance = best[index]
        bank, count = pool.banks[pool.bank[index]], int(pool.counts[index])
        rows.append(SubsetRow(bank.name, pool.classes[index], count, rank, distance, tuple(wanted[index])))
    provenance = {
        "targets": asked,
        "sources": [_provenance(bank) | {"classes": len(bank.classes)} for bank in pool.banks],
        "images": images,
        "strategy": strategy,
        "geometry": pool.metric.name,
        "square_root": pool.metric.square_root,
        "min_count": pool.min_count,
        "seed": seed,
    }
    return Subset(tuple(rows), provenance)


def _sizes(
    pool: SourcePool,
    targets: Sequence[FeatureBank],
    classes: int | None,
    quotas: Sequence[int | None] | None,
    images: int | None,
    strategy: Strategy,
) -> list[int]:
    """The largest number of classes that each target chooses."""
    available = len(pool)
    if quotas is not None and len(quotas) != len(targets):
        raise ValueError(f"`quotas` must have one entry a target, got {len(quotas)} for {len(targets)} targets")
    asked = [classes if quota is None else quota for quota in quotas or [None] * len(targets)]
    if strategy.takes_all:
        if images is not None or any(size is not None for size in asked):
            raise InputError(
                f"`strategy` {strategy.name} takes every class; leave out `classes`, `images` and the targets' quotas"
            )
        return [available] * len(targets)
    sizes = []
    for target, size in zip(targets, asked, strict=True):
        if size is None and images is not None:
            size = available
        if size is None:
            raise InputError(
                f"`classes` is missing: say how many of the {available} source classes {target.name} needs, or give "
                f"a budget with `images`; `curve` FILE.csv shows what each number gains"
            )
        if not 1 <= size <= available:
            least = f" of at least {pool.min_count} images" if pool.min_count > 0 else ""
            raise InputError(
                f"`classes` {size}: not possible for {target.name}; the sources have {available} classes{least}; "
                f"ask for 1 to {available}"
            )
        sizes.append(size)
    return sizes


def _affordable(order: NDArray[np.int64], counts: NDArray[np.int64], images: int) -> NDArray[np.int64]:
    """The longest beginning of ``order`` whose classes stay within a budget of images."""
    kept = order[np.cumsum(counts[order]) <= images]
    if not len(kept):
        raise InputError(f"`images` {images}: the first class alone has {counts[order[0]]}; raise the budget")
    return kept


def _provenance(bank: FeatureBank) -> dict[str, object]:
    """What identifies a bank."""
    return {
        "dataset": bank.name,
        "bank": str(bank.path) if bank.path else None,
        "backbone": bank.attrs.get("backbone"),
        "weights_sha256": bank.attrs.get("weights_sha256"),
        "images": int(bank.counts.sum()),
    }
