"""Selection curves: the objective of a choice, and the share of the target that it serves, against its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.formats.tables import write_table
from features.infrastructure.storage.addresses import Location
from similarity.distances import shares
from similarity.geometry import DEFAULT_GEOMETRY
from similarity.selection.limits import MILESTONES, classes_for
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import DEFAULT_STRATEGY, STRATEGIES, Strategy

COLUMNS = ("target", "classes", "images", "distance", "gain", "share")


@dataclass(frozen=True, eq=False)
class SelectionCurve:
    """The objective of the first 1, 2, … classes of a choice for a target, up to the last one that lowers it.

    If the strategy has shares, the curve goes on until the classes serve 95 % of the target.

    Attributes:
        target: Its dataset spec.
        available: Number of source classes.
        images: (K,) images of the first k classes together; None if a source does not know them.
        distance: (K,) mean distance of the target's classes, weighted by their images, to the nearest of the first k
            classes. It never rises, and its last value is that of all classes.
        share: (K,) share of the target that the first k classes serve; None if the strategy has no shares.
        classes: (K,) positions in the pool of the classes, in the order taken; None if they are not known.
    """

    target: str
    available: int
    images: NDArray[np.int64] | None
    distance: NDArray[np.float64]
    share: NDArray[np.float64] | None
    classes: NDArray[np.int64] | None = None

    @property
    def gain(self) -> NDArray[np.float64]:
        """(K,) gain in ``distance`` from the first class alone (0) to all classes together (1)."""
        reach = self.distance[0] - self.distance[-1]
        return (self.distance[0] - self.distance) / reach if reach > 0 else np.ones(len(self.distance))

    @property
    def covered(self) -> NDArray[np.float64]:
        """(K,) how much of the target the first k classes cover, 0 to 1: their share, or without shares the gain."""
        return self.gain if self.share is None else self.share

    @property
    def knee(self) -> int:
        """The number of classes, 1 to K, beyond which one more covers less than a class does on average.

        It is where ``covered`` lies highest above the straight line between its ends (Satopaa et al., "Finding a
        kneedle in a haystack", ICDCS Workshops 2011).
        """
        line = np.linspace(self.covered[0], self.covered[-1], len(self.covered))
        return int(np.argmax(self.covered - line)) + 1


def selection_curves(
    targets: Sequence[FeatureBank],
    sources: Sequence[FeatureBank],
    *,
    strategy: str = DEFAULT_STRATEGY,
    geometry: str = DEFAULT_GEOMETRY,
    min_count: int = 0,
    seed: int = 0,
) -> tuple[SelectionCurve, ...]:
    """The curve of each target over all source classes; arguments as of :func:`similarity.select_classes`."""
    row = STRATEGIES.find(strategy)
    return curves_from(SourcePool.of(targets, sources, geometry, min_count), targets, row, seed=seed)


def curves_from(
    pool: SourcePool, targets: Sequence[FeatureBank], strategy: Strategy, *, seed: int = 0
) -> tuple[SelectionCurve, ...]:
    """:func:`selection_curves` over a given pool, whose geometry was fitted to these targets."""
    curves = []
    for place, target in enumerate(targets):
        distances = pool.distances(target)
        if strategy.curve is not None:
            found = strategy.curve(pool, target, (seed, place))
        else:
            found = strategy.order(pool, target, len(pool), (seed, place))
        objective = np.minimum.accumulate(distances[found.classes], axis=0) @ shares(target.counts)
        end = max(int(np.argmax(objective <= objective[-1])) + 1, classes_for(found, MILESTONES[-1]) or 0)
        order = found.classes[:end]
        share = None if found.shares is None else np.cumsum(found.shares[order])
        images = None if pool.uncounted is not None else np.cumsum(pool.counts[order])
        curves.append(SelectionCurve(target.name, len(pool), images, objective[:end], share, order))
    return tuple(curves)


def write_curves(curves: Sequence[SelectionCurve], path: str | Location, provenance: dict[str, Any]) -> None:
    """Write one line for each number of classes, below one line that holds the provenance as JSON.

    The column ``share`` is empty for strategies without shares, and ``images`` where the images are not known.
    """
    rows = []
    for curve in curves:
        images, share = (
            [""] * len(curve.distance) if column is None else column.tolist() for column in (curve.images, curve.share)
        )
        figures = zip(images, curve.distance.tolist(), curve.gain.tolist(), share, strict=True)
        rows += [(curve.target, k, *row) for k, row in enumerate(figures, start=1)]
    write_table(path, provenance, COLUMNS, rows)
