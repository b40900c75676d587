"""The lake of unlabelled.py: real images, copies of test images and drawn features, 100,000 in all, in one bank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from recording import DATA, WORK, sized
from related_classes import GROUPS, SIDE, Groups, extracted, read_groups

from features import ExtractConfig, FeatureBank, extract, open_dataset

HERE = WORK / "unlabelled"
LAKE, HELD_OUT, COPIES = sized((100_000, 20, 200), (3_000, 2, 2))
SEED = 0


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


def crop(image: Image.Image) -> Image.Image:
    """5 % off the left and the upper side."""
    return image.crop((image.width // 20, image.height // 20, image.width, image.height))


#: What is done to an image, and the JPEG quality that it is saved with; 0 for PNG.
KINDS: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "same": (lambda image: image, 0),
    "jpeg 95": (lambda image: image, 95),
    "jpeg 60": (lambda image: image, 60),
    "half and back": (lambda image: half(image).resize(image.size, Image.Resampling.BICUBIC), 95),
    "crop 5 %": (crop, 95),
    "mirror": (ImageOps.mirror, 95),
    "crop, half, jpeg 75": (lambda image: half(crop(image)), 75),
}


@dataclass(frozen=True)
class Lake:
    """The lake, and what is known of it.

    Attributes:
        bank: Its file.
        features: (N, D).
        labels: (N,) true class, numbered over CIFAR-100, Tiny ImageNet and CUB.
        ids: (N,).
        real: (N,) whether it is a picture of the three datasets: neither a copy nor drawn.
        copy_of: Id of a copy → its kind, and the id of its original.
        targets: Dataset → its held-out images, with the number of its first class.
        groups: Dataset → groups of its classes, numbered from 0 in each dataset.
    """

    bank: Path
    features: np.ndarray
    labels: np.ndarray
    ids: list[str]
    real: np.ndarray
    copy_of: dict[str, tuple[str, str]]
    targets: dict[str, tuple[FeatureBank, int]]
    groups: dict[str, Groups]


def kept_bank(name: str, spec: str) -> FeatureBank:
    """The bank of a dataset with the feature of every image, extracted once."""
    out = f"{HERE}/{name}.h5"
    return extract(ExtractConfig(spec, out, "efficientnet_lite0", image_size=SIDE, keep_images=True)).bank


def statistics_of(features: np.ndarray, labels: np.ndarray, **fields: Any) -> FeatureBank:
    """The bank of these images; sums in float32 are enough here, and quick."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    centre = features.mean(axis=0)
    rows = features[order] - centre
    means = np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0) / counts[:, None]
    rows -= np.repeat(means, counts, axis=0)
    return FeatureBank(
        counts=counts,
        means=(means + centre).astype(np.float32),
        variances=np.zeros(means.shape, dtype=np.float32),  # of which nothing here makes use
        within_covariance=(rows.T @ rows / len(rows)).astype(np.float32),
        **({"classes": tuple(f"class {label}" for label in range(len(counts)))} | fields),
    )


def copies(test: FeatureBank) -> tuple[FeatureBank, dict[str, tuple[str, str]]]:
    """The bank of the copies, and of which kind and of which image each one is."""
    dataset, copy_of = open_dataset(test.name), {}
    order = np.random.default_rng(SEED).permutation(len(dataset))[: COPIES * len(KINDS)]
    for number, i in enumerate(order.tolist()):
        kind = list(KINDS)[number % len(KINDS)]
        change, quality = KINDS[kind]
        path = HERE / "copies" / f"{number:04d}{'.jpg' if quality else '.png'}"
        copy_of[path.name] = kind, dataset.ids[i]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            change(dataset.image(i)).save(path, **({"quality": quality} if quality else {}))
    return kept_bank("copies", f"images:{HERE}/copies"), copy_of


def make_lake() -> Lake:
    """Put the lake together, and write its bank: all images of one class."""
    test, train = (kept_bank(f"cub-{split}", f"cub:{WORK}/CUB_200_2011@{split}") for split in ("test", "train"))
    sources = {
        "CIFAR-100": extracted("cifar-100", f"folder:{WORK}/cifar-100-lt-if100@test"),
        "Tiny ImageNet": extracted("tiny-imagenet", f"folder:{WORK}/tiny-imagenet-200@train?names=words.txt"),
        "CUB": train,
    }
    files = (DATA / "cifar100_superclasses.csv", GROUPS / "tiny_imagenet.csv", GROUPS / "cub.csv")
    groups = {name: read_groups(file, bank.classes) for (name, bank), file in zip(sources.items(), files, strict=True)}
    features, labels, ids, targets, first = [], [], [], {}, 0
    for name, bank in sources.items():
        values, of_class, names = bank.images()
        kept = np.arange(len(values))
        if name == "CUB":
            targets[name] = test, first
        else:
            shuffled = np.lexsort((np.random.default_rng(SEED).random(len(values)), of_class))
            held = np.arange(len(values)) % (len(values) // len(bank.classes)) < HELD_OUT  # classes are of one size
            out = shuffled[held]
            targets[name] = replace(statistics_of(values[out], of_class[out]), attrs=bank.attrs), first
            kept = np.sort(shuffled[~held])
        features.append(values[kept])
        labels.append(of_class[kept] + first)
        ids += [f"{name}/{names[i]}" for i in kept]
        first += len(bank.classes)
    n_real = len(ids)

    model = statistics_of(np.concatenate(features), np.concatenate(labels))
    planted, copy_of = copies(test)
    values, _, names = planted.images()
    bird = dict(zip(test.image_labels()[1], test.image_labels()[0].tolist(), strict=True))
    features.append(values)
    labels.append(np.array([bird[copy_of[name][1]] for name in names]) + targets["CUB"][1])
    ids += [f"copies/{name}" for name in names]
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, first, LAKE - len(ids))
    factor = np.linalg.cholesky(model.within_covariance + 1e-6 * np.eye(len(model.within_covariance), dtype=np.float32))
    noise = rng.standard_normal((len(drawn), len(factor)), dtype=np.float32) @ factor.T
    features.append(np.maximum(model.means[drawn] + noise, 0))
    labels.append(drawn)
    ids += [f"drawn/{i:05d}" for i in range(len(drawn))]

    listed = HERE / "lake.txt"  # a dataset to open; none of its images is read
    listed.write_text("".join(f"{id_} 0\n" for id_ in ids))
    dataset, whole = open_dataset(f"list:{listed}"), np.concatenate(features)
    attrs = train.attrs | {"dataset": dataset.spec, "manifest_sha256": dataset.manifest_sha256}
    bank = statistics_of(whole, dataset.labels, classes=dataset.classes, attrs=attrs)
    return Lake(
        bank=Path(str(bank.write(HERE / "lake.h5", (whole, dataset.labels, ids)).path)),
        features=whole,
        labels=np.concatenate(labels),
        ids=ids,
        real=np.arange(LAKE) < n_real,
        copy_of={f"copies/{name}": of for name, of in copy_of.items()},
        targets=targets,
        groups=groups,
    )
