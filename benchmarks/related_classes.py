"""Targets, source pools, and which source classes should come first: the data of the benchmarks of selection.

A column is a list of queries. A query is a target, a pool and the relevant classes of the pool, in one draw of the
images: 40 images of a target class, 60 others of a source class (of CUB's 50 to 60 images a species, a third and the
rest).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from recording import DATA, ROOT, WORK, sized

from features import ExtractConfig, FeatureBank, InputError, extract

GROUPS = ROOT / "benchmarks" / "groups"
SIDE, OWN_SIDE = sized((128, 224), (32, 64))
SOURCE_IMAGES, TARGET_IMAGES = 60, 40
#: Seed of the drawn pairs and unions of groups; most pairs of a group; unions a size.
TARGET_SEED, PAIRS, UNIONS = 0, sized(10, 1), sized(10, 1)
#: Archives that :func:`columns` needs.
ARCHIVES = ("cifar-100-lt-if100.tar", "tiny-imagenet-100.tar", "cub50.tar", "cub50-other.tar")

Groups = dict[str, np.ndarray]  # group → positions of its classes, in ascending order of both
Targets = list[tuple[str, np.ndarray]]  # group, or several joined by +, and the positions of the target's classes


@dataclass(frozen=True, eq=False)
class Query:
    """A target, a pool, and the (S,) classes of the pool that should come first."""

    group: str
    target: FeatureBank
    source: FeatureBank
    relevant: np.ndarray


@dataclass(frozen=True, eq=False)
class Column:
    """Targets of one size from one dataset.

    Attributes:
        title: What it is called in tables.
        target: The dataset of the targets, with the feature of every image.
        source: The dataset that is ranked. If it is the target's, the classes of a target are left out of it.
        targets: The targets.
        relevant: Source classes of each group.
        parts: Some of the groups, to be reported apart.
    """

    title: str
    target: FeatureBank
    source: FeatureBank
    targets: Targets
    relevant: Groups
    parts: dict[str, list[str]]

    @property
    def groups(self) -> list[str]:
        """The groups of the targets, each once."""
        return list(dict.fromkeys(group for group, _ in self.targets))

    def draw(self, seed: int) -> Iterator[Query]:
        """The queries in one draw of the images."""
        same = self.source is self.target
        source, target = subsample(self.target, seed)
        if not same:
            source, _ = subsample(self.source, seed)
        for group, members in self.targets:
            rest = np.setdiff1d(np.arange(len(source.classes)), members) if same else np.arange(len(source.classes))
            relevant = np.isin(rest, np.concatenate([self.relevant[name] for name in group.split("+")]))
            yield Query(group, take(target, members), take(source, rest), relevant)


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


def pairs(groups: Groups) -> Targets:
    """Pairs of classes of one group, at most :data:`PAIRS` a group."""
    generator = np.random.default_rng(TARGET_SEED)
    drawn: Targets = []
    for name, members in groups.items():
        every = np.array(list(combinations(members, 2)))
        drawn += [(name, every[i]) for i in np.sort(generator.permutation(len(every))[:PAIRS])]
    return drawn


def unions(groups: Groups, n_groups: int) -> Targets:
    """:data:`UNIONS` targets of all classes of so many groups."""
    generator = np.random.default_rng((TARGET_SEED, n_groups))
    drawn = [np.sort(generator.choice(list(groups), n_groups, replace=False)) for _ in range(UNIONS)]
    return [("+".join(names), np.sort(np.concatenate([groups[name] for name in names]))) for names in drawn]


def columns() -> dict[str, Column]:
    """All columns by name; banks that are missing are extracted first."""
    spec = f"folder:{WORK}/cifar-100-lt-if100@test"
    cifar, larger = (extracted("cifar-100", spec, side) for side in (SIDE, OWN_SIDE))
    tiny = extracted("tiny-imagenet", f"folder:{WORK}/tiny-imagenet-200@train?names=words.txt")
    cub, other = extracted("cub", f"cub:{WORK}/CUB_200_2011"), extracted("cub-other", f"cub:{WORK}/CUB_200_2011_other")
    superclasses = read_groups(DATA / "cifar100_superclasses.csv", cifar.classes)
    halves = {"choose": list(superclasses)[:10], "report": list(superclasses)[10:]}
    related_path = GROUPS / "cifar100_to_tiny_imagenet.csv"
    related = read_groups(related_path, tiny.classes)
    if unknown := related.keys() - superclasses.keys():
        raise InputError(f"{related_path}: there is no superclass {min(unknown)!r}")
    covered = {name: superclasses[name] for name in related}
    own = read_groups(GROUPS / "tiny_imagenet.csv", tiny.classes)
    families = read_groups(GROUPS / "cub.csv", cub.classes)
    sharing = {least: by_last_word(other.classes, least) for least in (2, 3)}
    by_tiny = "CIFAR-100 by Tiny ImageNet"

    def singles(groups: Groups) -> Targets:
        return [(name, members[[i]]) for name, members in groups.items() for i in range(len(members))]

    return {
        "cifar100": Column("CIFAR-100", cifar, cifar, pairs(superclasses), superclasses, halves),
        "cifar100_224": Column("CIFAR-100 at 224 px", larger, larger, pairs(superclasses), superclasses, halves),
        "tiny_imagenet": Column("Tiny ImageNet", tiny, tiny, pairs(own), own, {}),
        "cifar100_by_tiny_imagenet": Column(by_tiny, cifar, tiny, pairs(covered), related, {}),
        "cub": Column("CUB", cub, cub, pairs(families), families, {}),
        "cub_other": Column("other species of CUB", other, other, pairs(sharing[3]), sharing[3], {}),
        "by_tiny_imagenet_1": Column(f"{by_tiny}, 1 class", cifar, tiny, singles(covered), related, {}),
        "by_tiny_imagenet_5": Column(f"{by_tiny}, 5 classes", cifar, tiny, list(covered.items()), related, {}),
        "by_tiny_imagenet_10": Column(f"{by_tiny}, 10 classes", cifar, tiny, unions(covered, 2), related, {}),
        "by_tiny_imagenet_50": Column(f"{by_tiny}, 50 classes", cifar, tiny, unions(covered, 10), related, {}),
        "cub_1": Column("CUB, 1 species", cub, cub, singles(families), families, {}),
        "cub_other_1": Column("other species of CUB, 1", other, other, singles(sharing[2]), sharing[2], {}),
    }


def by_last_word(names: Sequence[str], least: int) -> Groups:
    """Groups of at least ``least`` classes by the last word of their names, such as Sparrow."""
    words = np.array([name.replace("_", " ").split()[-1] for name in names])
    return {word: np.flatnonzero(words == word) for word in np.unique(words) if (words == word).sum() >= least}


def class_means(backbone: str) -> Iterator[Query]:
    """The queries of given class means: ImageNet's classes for four fine-grained targets; no covariance is known."""
    with np.load(DATA / "imagenet_fgvc_class_means.npz") as arrays:
        source = bank_of_means("imagenet", arrays[f"imagenet.{backbone}"], arrays["imagenet.names"])
        for name in ("aircraft", "CUB", "caltech", "cars"):
            means = arrays[f"{name}.{backbone}"]
            target = bank_of_means(name, means, [f"{name} {i}" for i in range(len(means))])
            yield Query(name, target, source, np.isin(np.arange(len(source.classes)), arrays[f"{name}.related"]))


def bank_of_means(name: str, means: np.ndarray, classes: Sequence[str]) -> FeatureBank:
    """A bank of classes of 100 images each without variance; their names are numbered."""
    unique = [f"{i} {label}" for i, label in enumerate(classes)]
    n_classes, width = means.shape
    still = np.zeros((n_classes, width), np.float32), np.zeros((width, width), np.float32)
    return FeatureBank(tuple(unique), np.full(n_classes, 100), means.astype(np.float32), *still, {"dataset": name})


def subsample(whole: FeatureBank, seed: int) -> tuple[FeatureBank, FeatureBank]:
    """Banks of some images of each class, and of others: the class as a source, and as a target."""
    values, labels, _ = whole.images()
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for label in range(len(whole.classes)):
        of_class = values[labels == label]
        order = np.random.default_rng(seed).permutation(len(of_class))
        n_target = min(TARGET_IMAGES, len(order) // 3)
        n_source = min(SOURCE_IMAGES, len(order) - n_target)
        parts[0].append(of_class[order[:n_source]])
        parts[1].append(of_class[order[n_source : n_source + n_target]])
    return bank(whole, parts[0]), bank(whole, parts[1])


def bank(like: FeatureBank, features: list[np.ndarray]) -> FeatureBank:
    """The bank of these images of each class; it does not keep them."""
    centred = np.concatenate([part - part.mean(axis=0) for part in features]).astype(np.float64)
    return replace(
        like,
        path=None,
        counts=np.array([len(part) for part in features]),
        means=np.stack([part.mean(axis=0) for part in features]),
        variances=np.stack([part.var(axis=0) for part in features]),
        within_covariance=(centred.T @ centred / len(centred)).astype(np.float32),
    )


def thinned(whole: FeatureBank, counts: np.ndarray, seed: int) -> FeatureBank:
    """The bank of the first images of each class among those that :func:`subsample` draws for a source."""
    values, labels, _ = whole.images()
    features = []
    for label, count in enumerate(counts):
        of_class = values[labels == label]
        features.append(of_class[np.random.default_rng(seed).permutation(len(of_class))[:count]])
    return bank(whole, features)


def take(whole: FeatureBank, classes: np.ndarray, attrs: Mapping[str, Any] | None = None) -> FeatureBank:
    """A bank of some of the classes, with other attributes if given."""
    return replace(
        whole,
        classes=tuple(whole.classes[i] for i in classes),
        counts=whole.counts[classes],
        means=whole.means[classes],
        variances=whole.variances[classes],
        attrs={**whole.attrs, **(attrs or {})},
    )
