"""A mixed, long-tailed lake of source classes, and targets for it: the data of selection_pays.py and influence.py.

The lake mixes four domains: Tiny ImageNet's 200 classes, 50 bird species, 60 CIFAR-100 classes (three of each
superclass), and 60 printed characters. A long tail lies over all 370 classes in a seeded order: a class keeps
50^(-r/369) of its images, r its place in that order, and at least one. With an imbalance of 1 it is the whole lake,
without a tail.

Targets share no image with the lake: 50 other bird species, five parts of ten of them, four of ten of the CIFAR-100
classes that are left (two of each of five superclasses of one theme), and handwritten digits. Each has a hand-picked
part of the lake, the domain that a person would name: ``related``. Some kinds are in a target and in another domain
of the lake, such as bees in Tiny ImageNet, and printed digits.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from recording import DATA, ROOT, WORK, sized, unpacked

from features import open_dataset
from features.dataset import ImageDataset
from features.infrastructure.disk.locks import locked
from similarity.selection.subset import SubsetRow

ARCHIVES = (
    "cifar-100-lt-if100.tar",
    "cifar-100-more.tar",
    "tiny-imagenet-100.tar",
    "cub50.tar",
    "cub50-other.tar",
)
#: Ratio of the images that the first and the last class of the tail keep.
IMBALANCE, TAIL_SEED = 50, 0
#: Images of a class of CIFAR-100 and of the digits to train on.
TARGET_IMAGES, DIGIT_IMAGES = sized((50, 20), (3, 3))
#: Classes of each superclass of CIFAR-100 that are in targets; the others are in the lake.
IN_TARGETS = 2
#: The superclasses of each target of CIFAR-100: kinds of things that one collection may hold.
CIFAR_TARGETS = {
    "mammals": ("aquatic_mammals", "large_carnivores", "large_omni", "medium_mammals", "small_mammals"),
    "animals": ("fish", "insects", "non_insect", "people", "reptiles"),
    "plants": ("flowers", "food_containers", "fruit_veg", "outdoor_nat", "trees"),
    "things": ("electrical", "furniture", "outdoor_man", "vehicles1", "vehicles2"),
}
PARTS_OF_BIRDS = 5
DOMAINS = ("tiny-imagenet", "birds", "cifar-100", "glyphs")
TARGETS = WORK / "lake-targets"


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        name: What it is called in tables.
        train, test: Dataset specs of its images.
        related: The classes of the lake that a person would pick, as (domain, class).
    """

    name: str
    train: str
    test: str
    related: tuple[tuple[str, str], ...]


def folder_of(imbalance: int) -> Path:
    """The folder of a lake."""
    return WORK / ("lake" if imbalance == IMBALANCE else f"lake-{imbalance}")


def spec_of(domain: str, imbalance: int = IMBALANCE) -> str:
    """The dataset spec of a domain of the lake."""
    return f"folder:{folder_of(imbalance)}/{domain}"


def make_lake(imbalance: int = IMBALANCE) -> list[str]:
    """Write the lake and the targets, once, as class folders; the dataset specs of the lake's domains."""
    unpacked(*ARCHIVES)
    for folder, write in ((folder_of(imbalance), partial(_write_lake, imbalance)), (TARGETS, _write_targets)):
        finished = folder / "finished"
        if not finished.is_file():
            with locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
                write()
                finished.touch()
    return [spec_of(domain, imbalance) for domain in DOMAINS]


def superclasses() -> dict[str, list[str]]:
    """The classes of each superclass of CIFAR-100, both in alphabetical order."""
    with (DATA / "cifar100_superclasses.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted((row["superclass"], row["class"]) for row in csv.DictReader(file))
    return {parent: [name for other, name in rows if other == parent] for parent, _ in rows}


def _write_lake(imbalance: int) -> None:
    parents = superclasses()
    in_lake = sorted(name for members in parents.values() for name in members[IN_TARGETS:])
    characters = open_dataset("glyphs:DIGIT,LATIN?min_faces=14")
    domains = {
        "tiny-imagenet": open_dataset(f"folder:{WORK}/tiny-imagenet-200@train?names=words.txt"),
        "birds": open_dataset(f"cub:{WORK}/CUB_200_2011_other"),
        "cifar-100": open_dataset(f"folder:{WORK}/cifar-100-more").restrict(in_lake),
        "glyphs": characters.restrict(characters.classes[:60]),
    }
    total = sum(len(dataset.classes) for dataset in domains.values())
    kept = imbalance ** (-np.random.default_rng(TAIL_SEED).permutation(total) / (total - 1))
    for name in DOMAINS:
        dataset = domains[name]
        share, kept = kept[: len(dataset.classes)], kept[len(dataset.classes) :]
        quota = np.maximum(1, dataset.counts * share).astype(int)
        for label, class_name in enumerate(dataset.classes):
            images = np.random.default_rng((TAIL_SEED, label)).permutation(np.flatnonzero(dataset.labels == label))
            _write(dataset, images[: quota[label]], folder_of(imbalance) / name / class_name)


def _write_targets() -> None:
    birds = {part: open_dataset(f"cub:{WORK}/CUB_200_2011@{part}") for part in ("train", "test")}
    names = birds["train"].classes
    width = len(names) // PARTS_OF_BIRDS
    for target, members in [("birds", names)] + [
        (f"birds-{i + 1}", names[i * width : (i + 1) * width]) for i in range(PARTS_OF_BIRDS)
    ]:
        for part, dataset in birds.items():
            for name in members:
                images = np.flatnonzero(dataset.labels == dataset.classes.index(name))
                _write(dataset, images, TARGETS / target / part / name)
    first, more = open_dataset(f"folder:{WORK}/cifar-100-lt-if100@test"), open_dataset(f"folder:{WORK}/cifar-100-more")
    for target, parents in CIFAR_TARGETS.items():
        for name in (name for parent in parents for name in superclasses()[parent][:IN_TARGETS]):
            images = np.flatnonzero(first.labels == first.classes.index(name))
            _write(first, images[:TARGET_IMAGES], TARGETS / target / "train" / name)
            _write(first, images[TARGET_IMAGES:], TARGETS / target / "test" / name)
            _write(more, np.flatnonzero(more.labels == more.classes.index(name)), TARGETS / target / "test" / name)


def family(target: str) -> str:
    """Targets that share classes or test images are one family: the birds and their parts."""
    return target if target in CIFAR_TARGETS else target.partition("-")[0]


def _write(dataset: ImageDataset, images: Sequence[int] | np.ndarray, folder: Path) -> None:
    """Write images as PNG files: pixels, so that no format of a source tells it from another."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in images:
        dataset.image(int(i)).save(folder / f"{Path(dataset.ids[i]).stem}-{i}.png", compress_level=1)


def targets() -> list[Target]:
    """All targets; :func:`make_lake` must have run with the default imbalance: its folders are read."""
    lake = {domain: open_dataset(spec_of(domain)).classes for domain in DOMAINS}
    tiny_groups: dict[str, list[str]] = {}
    with (ROOT / "benchmarks" / "groups" / "cifar100_to_tiny_imagenet.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            tiny_groups.setdefault(row["superclass"], []).append(row["class"])
    with (ROOT / "benchmarks" / "groups" / "tiny_imagenet.csv").open(newline="", encoding="utf-8") as file:
        tiny_birds = [row["class"] for row in csv.DictReader(file) if "bird" in row["group"]]
    birds = [("birds", name) for name in lake["birds"]] + [("tiny-imagenet", name) for name in tiny_birds]
    found = [
        Target(name, *_parts(name), tuple(birds))
        for name in ("birds", *(f"birds-{i + 1}" for i in range(PARTS_OF_BIRDS)))
    ]
    for name, parents in CIFAR_TARGETS.items():
        own = [("cifar-100", member) for parent in parents for member in superclasses()[parent][IN_TARGETS:]]
        tiny = [("tiny-imagenet", member) for parent in parents for member in tiny_groups.get(parent, [])]
        found.append(Target(name, *_parts(name), (*own, *tiny)))
    digits = tuple(("glyphs", name) for name in lake["glyphs"])
    found.append(Target("digits", f"digits:@train?per_class={DIGIT_IMAGES}", "digits:@test", digits))
    known = {(domain, name) for domain, names in lake.items() for name in names}
    assert all(set(target.related) <= known for target in found), "a hand-picked class is not in the lake"
    return found


def lake_classes(imbalance: int = IMBALANCE) -> list[SubsetRow]:
    """Every class of the lake, in the order of the domains and of their classes, as rows of a subset file."""
    rows: list[SubsetRow] = []
    for domain in DOMAINS:
        dataset = open_dataset(spec_of(domain, imbalance))
        for name, count in zip(dataset.classes, dataset.counts.tolist(), strict=True):
            rows.append(SubsetRow(spec_of(domain, imbalance), name, count, len(rows) + 1, 0.0, ()))
    return rows


def _parts(name: str) -> tuple[str, str]:
    return f"folder:{TARGETS}/{name}@train", f"folder:{TARGETS}/{name}@test"
