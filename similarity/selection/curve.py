"""Selection curves: the objective of a choice against its size, and the size beyond which it gains little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.tables import write_table
from similarity.geometry import DEFAULT_GEOMETRY
from similarity.selection.pool import SourcePool
from similarity.selection.strategy import DEFAULT_STRATEGY, STRATEGIES

COLUMNS = ("target", "classes", "images", "distance", "gain")


@dataclass(frozen=True, eq=False)
class SelectionCurve:
    """The objective of the first 1, 2, … classes of a choice for a target, up to the last one that lowers it.

    Attributes:
        target: Its dataset spec.
        available: Number of source classes.
        images: (K,) images of the first k classes together.
        distance: (K,) mean distance of the target's classes, weighted by their images, to the nearest of the first k
            classes. It never rises, and its last value is that of all classes.
        knee: Suggested number of classes: where the gain is farthest above the share of the K classes taken (Satopaa
            et al., ICDCS workshops 2011); K if it is nowhere above.
    """

    target: str
    available: int
    images: NDArray[np.int64]
    distance: NDArray[np.float64]
    knee: int

    @property
    def gain(self) -> NDArray[np.float64]:
        """(K,) gain in ``distance`` from the first class alone (0) to all classes together (1)."""
        return _gain(self.distance)

    def to_json(self) -> dict[str, Any]:
        """The knee; :func:`write_curves` writes the curve."""
        at = self.knee - 1
        return {
            "target": self.target,
            "classes": self.knee,
            "images": int(self.images[at]),
            "gain": float(self.gain[at]),
        }


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
    STRATEGIES.find(strategy)
    return curves_from(SourcePool.of(targets, sources, geometry, min_count), targets, strategy=strategy, seed=seed)


def curves_from(
    pool: SourcePool, targets: Sequence[FeatureBank], *, strategy: str = DEFAULT_STRATEGY, seed: int = 0
) -> tuple[SelectionCurve, ...]:
    """:func:`selection_curves` over a given pool, whose geometry was fitted to these targets."""
    row = STRATEGIES.find(strategy)
    curves = []
    for place, target in enumerate(targets):
        distances = pool.distances(target)
        if row.curve is not None:
            order = row.curve(pool, target, (seed, place))
        else:
            order = row.order(pool, target, len(pool), (seed, place)).classes
        share = target.counts / target.counts.sum()
        objective = np.minimum.accumulate(distances[order], axis=0) @ share
        end = int(np.argmax(objective <= objective[-1])) + 1
        images = np.cumsum(pool.counts[order[:end]])
        curves.append(SelectionCurve(target.name, len(pool), images, objective[:end], _knee(objective[:end])))
    return tuple(curves)


def write_curves(curves: Sequence[SelectionCurve], path: str | Path, provenance: dict[str, Any]) -> None:
    """Write ``target,classes,images,distance,gain`` lines, below one line that holds the provenance as JSON."""
    rows = []
    for curve in curves:
        figures = zip(curve.images.tolist(), curve.distance.tolist(), curve.gain.tolist(), strict=True)
        rows += [(curve.target, k, *row) for k, row in enumerate(figures, start=1)]
    write_table(path, provenance | {"knees": [curve.to_json() for curve in curves]}, COLUMNS, rows)


def _gain(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    reach = distance[0] - distance[-1]
    return (distance[0] - distance) / reach if reach > 0 else np.ones(len(distance))


def _knee(distance: NDArray[np.float64]) -> int:
    above = _gain(distance) - np.arange(len(distance)) / max(1, len(distance) - 1)
    return int(np.argmax(above)) + 1 if above.max() > 0 else len(distance)
