"""How much a subset gains with its size: the objective against the budget, and where it stops to pay."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from similarity.distance import pairwise_distances
from similarity.geometry import DEFAULT_GEOMETRY
from similarity.pool import SourcePool, check_strategy
from similarity.selection import DEFAULT_STRATEGY


@dataclass(frozen=True, eq=False)
class SelectionCurve:
    """What the first 1, 2, … classes of a choice are worth to a target.

    Attributes:
        target: Its dataset spec.
        images: (S,) images of the first k classes together.
        distance: (S,) mean distance of the target's classes, weighted by their images, to the nearest of the
            first k classes: the objective that ``coverage`` lowers greedily. It never rises.
        knee: How many classes to take: where the gain so far is farthest above the share of the classes
            taken (Satopaa et al., ICDCS workshops 2011).
    """

    target: str
    images: NDArray[np.int64]
    distance: NDArray[np.float64]
    knee: int

    @property
    def gain(self) -> NDArray[np.float64]:
        """(S,) how much of what all classes gain over the first one is gained, 0 to 1."""
        return _gain(self.distance)

    def to_json(self) -> dict[str, Any]:
        """The knee alone; the curve is for :func:`write_curves`."""
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
    """The curve of each target over all source classes; see :func:`similarity.select_classes`."""
    check_strategy(strategy)
    pool = SourcePool.of(targets, sources, geometry, min_count)
    curves = []
    for place, target in enumerate(targets):
        order, _ = pool.order(target, strategy, len(pool), (seed, place))
        share = target.counts / target.counts.sum()
        distances = pairwise_distances(pool.points, pool.metric.points(target.means))[order]
        objective = np.minimum.accumulate(distances, axis=0) @ share
        curves.append(SelectionCurve(target.name, np.cumsum(pool.counts[order]), objective, _knee(objective)))
    return tuple(curves)


def write_curves(curves: Sequence[SelectionCurve], path: str | Path, provenance: dict[str, Any]) -> None:
    """Write ``target,classes,images,distance,gain`` lines, under a line that holds the provenance as JSON."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", newline="", encoding="utf-8") as file:
        knees = [curve.to_json() for curve in curves]
        file.write(f"# {json.dumps(provenance | {'knees': knees}, ensure_ascii=False)}\n")
        writer = csv.writer(file)
        writer.writerow(["target", "classes", "images", "distance", "gain"])
        for curve in curves:
            rows = zip(curve.images.tolist(), curve.distance.tolist(), curve.gain.tolist(), strict=True)
            writer.writerows([curve.target, k, *row] for k, row in enumerate(rows, start=1))
    os.replace(aside, path)


def _gain(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    reach = distance[0] - distance[-1]
    return (distance[0] - distance) / reach if reach > 0 else np.ones(len(distance))


def _knee(distance: NDArray[np.float64]) -> int:
    taken = np.arange(len(distance)) / max(1, len(distance) - 1)
    return int(np.argmax(_gain(distance) - taken)) + 1
