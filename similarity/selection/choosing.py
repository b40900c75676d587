"""Select the source classes to pre-train on for one or several targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from features.bank import FeatureBank
from similarity.geometry import DEFAULT_GEOMETRY
from similarity.selection.limits import MILESTONES, Sizes, classes_for, limits
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import DEFAULT_STRATEGY, STRATEGIES, Strategy
from similarity.selection.subset import Subset, SubsetRow

#: Key of a :class:`similarity.selection.strategy.ChoiceCertificate` in the provenance of a target.
CERTIFICATE = "coverage"


def select_classes(
    targets: Sequence[FeatureBank],
    sources: Sequence[FeatureBank],
    *,
    classes: int | None = None,
    quotas: Sequence[int | None] | None = None,
    images: int | None = None,
    coverage: float | None = None,
    drop: int | None = None,
    strategy: str | Strategy = DEFAULT_STRATEGY,
    geometry: str = DEFAULT_GEOMETRY,
    min_count: int = 0,
    seed: int = 0,
    certified: bool = True,
) -> Subset:
    """Select source classes for one or several targets (Cui et al., CVPR 2018).

    Each target chooses from all sources independently, and the subset is the union of the choices. A class that
    several targets choose has one row, with its best rank and all of these targets. Ties are broken by the order of
    the sources, then of their classes.

    The column ``distance`` of the subset holds the score of the strategy: see :attr:`similarity.Strategy.ranked_by`.
    The column ``weight`` holds the share of the targets that the class serves, if the strategy has shares: over all
    source classes, the shares of one target sum to 1, and the weight is their mean over the targets. The provenance of
    each target holds the limit that ended its choice, the share that its chosen classes serve, and the numbers of
    classes needed for other shares, null if the classes ordered do not reach them; if the strategy can certify its
    choices, also the :class:`similarity.selection.strategy.ChoiceCertificate`.

    Without a limit, classes are taken until they serve :data:`similarity.selection.limits.DEFAULT_COVERAGE` of the
    target.

    Args:
        targets: Banks of the targets. All their classes take part, weighted by their images.
        sources: Banks of the sources, each dataset once.
        classes: Number of classes that each target chooses, 1 to the number of source classes.
        quotas: The same number for each target; None stands for ``classes``.
        images: Budget of images for each target: classes are taken in the strategy's order while their total number
            of images stays within the budget.
        coverage: Share of each target, above 0 to 1: classes are taken in the strategy's order until their shares sum
            to it. Of several limits, the one reached first ends the choice.
        drop: Number of classes to leave out, instead of a size: all others are taken. They are those that every target
            ranks last: the best rank of a class over the targets counts. The provenance names them, the last one first.
        strategy: One of :data:`similarity.STRATEGIES` by name, or a row, such as that of
            :func:`similarity.by_influence`. Strategies that take every class take no size.
        geometry: Ground metric, one of :data:`similarity.GEOMETRIES`, fitted to all banks together.
        min_count: Source classes of fewer images are left out.
        seed: Seed of strategies that draw. The draw of a target depends on its position among the targets.
        certified: Whether choices are certified, if the strategy can: about a hundred more passes over the distances.

    Raises:
        ValueError: ``targets`` or ``sources`` is empty, or ``quotas`` does not have one entry a target.
        InputError: Unknown strategy or geometry, an impossible size, banks that cannot be compared or are given twice,
            or ``min_count`` leaves no class.
    """
    row = STRATEGIES.find(strategy) if isinstance(strategy, str) else strategy
    sizes = Sizes(classes=classes, quotas=quotas, images=images, coverage=coverage, drop=drop)
    pool = SourcePool.of(targets, sources, geometry, min_count)
    return select_from(pool, targets, row, sizes, seed=seed, certified=certified)


def select_from(
    pool: SourcePool,
    targets: Sequence[FeatureBank],
    strategy: Strategy,
    sizes: Sizes,
    *,
    seed: int = 0,
    certified: bool = True,
) -> Subset:
    """:func:`select_classes` from a given pool, whose geometry was fitted to these targets."""
    best: dict[int, tuple[int, int, float]] = {}  # class → (best rank, position of that target, distance)
    wanted: dict[int, list[str]] = {}
    choices = []
    for place, (target, limit) in enumerate(zip(targets, limits(pool, targets, strategy, sizes), strict=True)):
        found = strategy.order(pool, target, limit.classes, (seed, place))
        order, ended_by = limit.cut(found, pool.counts)
        for rank, index in enumerate(order.tolist(), start=1):
            entry = (rank, place, float(found.scores[index]))
            best[index] = min(best.get(index, entry), entry)
            wanted.setdefault(index, []).append(target.name)
        choices.append((target, limit, found, order, ended_by))
    ranked = sorted(best, key=lambda index: best[index][:2])
    kept, dropped = ranked[: len(ranked) - (sizes.drop or 0)], ranked[len(ranked) - (sizes.drop or 0) :]
    asked = []
    weights = np.zeros(len(pool))
    for target, limit, found, order, ended_by in choices:
        order = order[~np.isin(order, dropped)]
        asked.append(_provenance(target) | {"classes": len(target.classes), "chosen": len(order)})
        asked[-1] |= {"quota": limit.classes, "asked_share": limit.coverage, "ended_by": ended_by}
        if found.shares is not None:
            weights += found.shares / len(targets)
            reached = {str(share): classes_for(found, share) for share in MILESTONES}
            asked[-1] |= {"share": float(found.shares[order].sum()), "classes_for": reached}
        if strategy.certify is not None and certified:
            asked[-1][CERTIFICATE] = asdict(strategy.certify(pool, target, order))
    rows = []
    for index in kept:
        rank, _, distance = best[index]
        bank = pool.banks[pool.bank[index]]
        count = int(pool.counts[index]) if bank.counts_known else None
        weight = min(float(weights[index]), 1.0) if strategy.has_shares else None
        rows.append(SubsetRow(bank.name, pool.classes[index], count, rank, distance, tuple(wanted[index]), weight))
    left_out = [{"source": pool.banks[pool.bank[i]].name, "class": pool.classes[i]} for i in reversed(dropped)]
    provenance = {
        "targets": asked,
        "sources": [_provenance(bank) | {"classes": len(bank.classes)} for bank in pool.banks],
        "images": sizes.images,
        "strategy": strategy.name,
        "geometry": pool.metric.name,
        "square_root": pool.metric.square_root,
        "min_count": pool.min_count,
        "seed": seed,
        **({"dropped": left_out} if dropped else {}),
    }
    return Subset(tuple(rows), provenance)


def _provenance(bank: FeatureBank) -> dict[str, object]:
    """What identifies a bank."""
    return {
        "dataset": bank.name,
        "bank": str(bank.path) if bank.path else None,
        "backbone": bank.attrs.get("backbone"),
        "weights_sha256": bank.attrs.get("weights_sha256"),
        "manifest_sha256": bank.attrs.get("manifest_sha256"),
        "images": bank.images_in,
    }
