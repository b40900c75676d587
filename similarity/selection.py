"""Choose the source classes to pre-train on for one or several targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.errors import InputError
from similarity.coverage import cover
from similarity.distance import (
    mean_distances,
    mean_squared_distances,
    neighbour_squared_distances,
    pairwise_distances,
)
from similarity.geometry import DEFAULT_GEOMETRY, fit_geometry
from similarity.subset import Subset, SubsetRow

#: Name and meaning of every strategy.
STRATEGIES = {
    "nearest": "classes nearest to the target on average, as in the paper",
    "local-scaling": "as nearest, less the distance to the class's own neighbours: hubs lose their lead",
    "coverage": "classes that together lie near every target class",
    "random": "classes drawn by chance, the control",
    "all": "every class, nearest first",
}
#: What finds related classes best: see ``benchmarks/selection_quality.py``.
DEFAULT_STRATEGY = "local-scaling"
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
        crowding: (S,) the r_i, from :func:`similarity.distance.neighbour_squared_distances` of the points,
            with :data:`NEIGHBOURS`; None for the distance alone.

    Returns:
        (S,) float64.
    """
    if crowding is None:
        return mean_distances(source_points, target_points, target_weights)
    return 2 * mean_squared_distances(source_points, target_points, target_weights) - crowding


def select_classes(
    targets: Sequence[FeatureBank],
    sources: Sequence[FeatureBank],
    *,
    classes: int | None = None,
    quotas: Sequence[int | None] | None = None,
    strategy: str = DEFAULT_STRATEGY,
    geometry: str = DEFAULT_GEOMETRY,
    min_count: int = 0,
    seed: int = 0,
) -> Subset:
    """Choose source classes for one or several targets (Cui et al., CVPR 2018).

    Every target chooses from all sources on its own; the subset is the union. A class that several
    targets chose stands in it once, under its best rank, with all of them. Equal scores are decided by the
    order of the sources, then of their classes.

    The distance in the subset is what the class was ranked by: the score for ``nearest`` and
    ``local-scaling`` (see :func:`class_scores`), the mean distance to the target for the others.

    Args:
        targets: Banks of the targets; all their classes take part, weighted by their images.
        sources: Banks of the sources, no dataset twice.
        classes: How many classes each target chooses, 1 to the number of source classes.
        quotas: The same for each target on its own; None stands for ``classes``.
        strategy: One of :data:`STRATEGIES`. ``all`` takes neither ``classes`` nor ``quotas``.
        geometry: Ground metric, one of :data:`similarity.GEOMETRIES`, fitted to all banks together.
        min_count: Source classes of fewer images are left out.
        seed: Seed of ``random``; a target's draw depends on its place among the targets.

    Raises:
        ValueError: ``targets`` or ``sources`` is empty, or ``quotas`` is not one a target.
        InputError: A size, strategy or geometry that is not possible, or banks that cannot be compared.
    """
    _require_distinct(targets, sources)
    if strategy not in STRATEGIES:
        raise InputError(f"--strategy {strategy}: there is no such strategy; choose from {', '.join(STRATEGIES)}")
    kept = [source.at_least(min_count) for source in sources]
    origin = [(bank, name, int(count)) for bank in kept for name, count in zip(bank.classes, bank.counts, strict=True)]
    sizes = _sizes(targets, classes, quotas, strategy, len(origin), min_count)
    metric = fit_geometry(geometry, targets, kept)
    points = np.concatenate([metric.points(bank.means) for bank in kept])
    crowding = neighbour_squared_distances(points, NEIGHBOURS) if strategy == "local-scaling" else None

    best: dict[int, tuple[int, int, float]] = {}  # class → best rank, which target's, distance
    wanted: dict[int, list[str]] = {}
    for place, (target, size) in enumerate(zip(targets, sizes, strict=True)):
        target_points = metric.points(target.means)
        distances = class_scores(points, target_points, target.counts, crowding)
        if strategy == "coverage":
            order = cover(pairwise_distances(points, target_points), target.counts, size)
        elif strategy == "random":
            order = np.random.default_rng((seed, place)).permutation(len(points))[:size]
        else:
            order = np.argsort(distances, kind="stable")[:size]
        for rank, index in enumerate(order.tolist(), start=1):
            entry = (rank, place, float(distances[index]))
            best[index] = min(best.get(index, entry), entry)
            wanted.setdefault(index, []).append(target.name)
    rows = []
    for index in sorted(best, key=lambda index: best[index][:2]):
        bank, name, count = origin[index]
        rank, _, distance = best[index]
        rows.append(SubsetRow(bank.name, name, count, rank, distance, tuple(wanted[index])))
    provenance = {
        "targets": [
            _provenance(bank) | {"classes": len(bank.classes), "quota": size}
            for bank, size in zip(targets, sizes, strict=True)
        ],
        "sources": [_provenance(bank) | {"classes": len(bank.classes)} for bank in kept],
        "strategy": strategy,
        "geometry": geometry,
        "min_count": min_count,
        "seed": seed,
    }
    return Subset(tuple(rows), provenance)


def _sizes(
    targets: Sequence[FeatureBank],
    classes: int | None,
    quotas: Sequence[int | None] | None,
    strategy: str,
    available: int,
    min_count: int,
) -> list[int]:
    """How many classes each target chooses."""
    if quotas is not None and len(quotas) != len(targets):
        raise ValueError(f"quotas must have one entry a target, got {len(quotas)} for {len(targets)} targets")
    asked = [classes if quota is None else quota for quota in quotas or [None] * len(targets)]
    if strategy == "all":
        if any(size is not None for size in asked):
            raise InputError("--strategy all takes every class; leave out --classes and the targets' quotas")
        return [available] * len(targets)
    sizes = []
    for target, size in zip(targets, asked, strict=True):
        if size is None:
            raise InputError(
                f"--classes is missing: say how many of the {available} source classes {target.name} needs"
            )
        if not 1 <= size <= available:
            least = f" of at least {min_count} images" if min_count > 0 else ""
            raise InputError(
                f"--classes {size}: not possible for {target.name}; the sources have {available} classes{least}; "
                f"ask for 1 to {available}"
            )
        sizes.append(size)
    return sizes


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


def _provenance(bank: FeatureBank) -> dict[str, object]:
    """What names a bank."""
    return {
        "dataset": bank.name,
        "bank": str(bank.path) if bank.path else None,
        "backbone": bank.attrs.get("backbone"),
        "weights_sha256": bank.attrs.get("weights_sha256"),
        "images": int(bank.counts.sum()),
    }
