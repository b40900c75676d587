"""How much of a selection is the images that happened to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.bank import FeatureBank
from features.progress import progress
from similarity.bootstrap import MeanSampler
from similarity.selection import select_classes
from similarity.subset import Subset


@dataclass(frozen=True)
class ClassStability:
    """How often one source class is chosen.

    Attributes:
        source: Dataset spec of its bank.
        class_name: The class.
        chosen: Whether it is in the subset itself.
        share: Share of the resamples in which it was chosen, 0 to 1.
    """

    source: str
    class_name: str
    chosen: bool
    share: float


@dataclass(frozen=True)
class SelectionStability:
    """A selection and how it stands up to resampling.

    Attributes:
        subset: What is chosen from the banks as they are.
        classes: Every source class that was ever chosen; those of the subset first, in its order, then the
            others, most often chosen first.
        jaccard: Mean over the resamples of |A ∩ B| / |A ∪ B|, A the subset and B what was chosen; 1 where
            nothing changes.
        replicates: Resamples.
        seed: Their seed.
    """

    subset: Subset
    classes: tuple[ClassStability, ...]
    jaccard: float
    replicates: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """What ``transfer select --resample`` adds."""
        return {
            "jaccard": self.jaccard,
            "replicates": self.replicates,
            "classes": [
                {"source": row.source, "class": row.class_name, "chosen": row.chosen, "share": row.share}
                for row in self.classes
            ],
        }


def selection_stability(
    targets: Sequence[FeatureBank],
    sources: Sequence[FeatureBank],
    replicates: int = 100,
    seed: int = 0,
    **select_options: Any,
) -> SelectionStability:
    """Select again from class means drawn again, of targets and sources alike.

    Redrawn means lie about as far from the bank's as the bank's from the true ones, so the overlap speaks of
    the subset and what would be chosen from the true means; two samples of images overlap less.

    Args:
        targets: Banks of the targets.
        sources: Banks of the sources.
        replicates: How often to draw, at least 1.
        seed: Seed of the resampling, and of ``random``, which draws the same each time.
        select_options: What else :func:`similarity.select_classes` takes: size, strategy, geometry.

    Raises:
        ValueError: ``replicates`` is less than 1.
        InputError: As of :func:`similarity.select_classes`.
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}")
    select_options["seed"] = seed
    subset = select_classes(targets, sources, **select_options)
    chosen = dict.fromkeys((row.source, row.class_name) for row in subset.rows)
    samplers = [MeanSampler(bank) for bank in (*targets, *sources)]
    generator = np.random.default_rng(seed)
    times: dict[tuple[str, str], int] = dict.fromkeys(chosen, 0)
    overlaps = []
    with progress("resampling", total=replicates) as advance:
        for _ in range(replicates):
            drawn = [
                replace(bank, means=sampler.draw(generator).astype(np.float32))
                for bank, sampler in zip((*targets, *sources), samplers, strict=True)
            ]
            again = select_classes(drawn[: len(targets)], drawn[len(targets) :], **select_options)
            found = {(row.source, row.class_name) for row in again.rows}
            for key in found:
                times[key] = times.get(key, 0) + 1
            overlaps.append(len(found & chosen.keys()) / len(found | chosen.keys()))
            advance()
    others = sorted((key for key in times if key not in chosen), key=lambda key: (-times[key], key))
    return SelectionStability(
        subset=subset,
        classes=tuple(ClassStability(*key, key in chosen, times[key] / replicates) for key in (*chosen, *others)),
        jaccard=float(np.mean(overlaps)),
        replicates=replicates,
        seed=seed,
    )
