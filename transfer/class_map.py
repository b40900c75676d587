"""Source and target classes in the plane, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity import DEFAULT_GEOMETRY, Subset
from similarity.selection.payoff import positions
from similarity.selection.pool import SourcePool

#: Classes of a map at most.
MOST = 800
#: Principal components that are projected.
_COMPONENTS = 50


def class_map(
    pool: SourcePool, target: FeatureBank, chosen: NDArray[np.int64] | Sequence[int], *, most: int = MOST
) -> list[dict[str, Any]]:
    """Project the class means of the sources and of a target to the plane, by t-SNE in the geometry of the pool.

    Near classes stay near; distances between far ones mean nothing (van der Maaten and Hinton, JMLR 2008). The start is
    the plane of the principal components, and the seed is fixed, so that the same classes give the same map.

    Args:
        pool: The source classes.
        target: The target's bank.
        chosen: Positions in the pool of the chosen classes.
        most: Classes of the map at most. Of more, all kinds are thinned at random: target and chosen classes to a third
            each at most, other source classes to what is left.

    Returns:
        Mappings with ``x`` and ``y``; ``class``; ``dataset``, its spec; ``images``, None where they are not known;
        ``kind``: ``source``, ``chosen`` or ``target``; and ``of``, the classes of its kind, also those left out.
    """
    rng = np.random.default_rng(0)

    def drawn(positions: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        return positions if len(positions) <= number else np.sort(rng.choice(positions, number, replace=False))

    picked = np.zeros(len(pool), dtype=bool)
    picked[np.asarray(chosen, dtype=np.int64)] = True
    number = int(picked.sum())
    targets = drawn(np.arange(len(target.classes)), most // 3)
    marked = drawn(np.flatnonzero(picked), most // 3)
    others = drawn(np.flatnonzero(~picked), most - len(targets) - len(marked))
    points = np.concatenate([pool.points[marked], pool.points[others], pool.metric.points(target.means[targets])])
    plane = _plane(points)
    found = [
        {
            "class": pool.classes[i],
            "dataset": pool.banks[pool.bank[i]].name,
            "images": int(pool.counts[i]) if pool.banks[pool.bank[i]].counts_known else None,
            "kind": "chosen" if picked[i] else "source",
            "of": number if picked[i] else len(pool) - number,
        }
        for i in (*marked, *others)
    ]
    counts = target.counts if target.counts_known else None
    found += [
        {
            "class": target.classes[i],
            "dataset": target.name,
            "images": None if counts is None else int(counts[i]),
            "kind": "target",
            "of": len(target.classes),
        }
        for i in targets
    ]
    return [{"x": round(float(x), 3), "y": round(float(y), 3), **row} for (x, y), row in zip(plane, found, strict=True)]


def map_classes(
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    subset: Subset | None = None,
    *,
    geometry: str = DEFAULT_GEOMETRY,
    min_count: int = 0,
) -> list[dict[str, Any]]:
    """:func:`class_map` from the banks of a target and of its sources.

    Args:
        target: The target's bank.
        sources: The sources' banks.
        subset: The choice that is marked, made from these sources; None marks none.
        geometry, min_count: As in :func:`similarity.select_classes`.

    Raises:
        InputError: The banks cannot be compared, or the subset names a source that is not among them.
    """
    if missing := set(() if subset is None else subset.sources) - {bank.name for bank in sources}:
        raise InputError(f"`subset`: has classes of {min(missing)}, which is not among `sources`; give its bank too")
    pool = SourcePool.of([target], sources, geometry, min_count)
    rows = () if subset is None else subset.rows
    return class_map(pool, target, positions(pool, [(row.source, row.class_name) for row in rows]))


def _plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) places of (N, D) points."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    number = len(points)
    components = min(_COMPONENTS, number, points.shape[1])
    if number < 5 or components < 2:  # too few for a perplexity
        return np.column_stack([points - points.mean(axis=0), np.zeros((number, 2))])[:, :2]
    reduced = PCA(components, random_state=0).fit_transform(np.asarray(points, dtype=np.float64))
    perplexity = min(30.0, (number - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=0, max_iter=500).fit_transform(reduced)
