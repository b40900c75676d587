"""Pseudo-classes for unlabelled images: spherical k-means on the image features of a bank.

The clusters become the relabelled dataset ``clusters:FILE.csv`` and the feature bank that an extraction of it would
write, so that rankings and selections apply to them. Clustering uses the directions of features alone. On three
datasets 0.37, 0.41 and 0.56 of the images selected by such clusters are of related classes; with Euclidean k-means
0.36, 0.41 and 0.52, a difference within the standard errors (``benchmarks/unlabelled.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.bank import SUFFIXES, FeatureBank
from features.dataset_spec import DatasetSpec
from features.extraction.relabelling import regroup
from features.infrastructure.console import progress
from features.infrastructure.disk.files import check_ending, check_new
from features.infrastructure.disk.joint_files import atomic_files, finish_joint_files
from features.infrastructure.errors import InputError
from features.infrastructure.options import MOST_REPEATS, Range, check_ranges
from features.infrastructure.storage.addresses import Location, located
from features.infrastructure.texts import Texts
from features.readers import open_dataset
from features.readers.schemes.clusters import write_clusters
from features.readers.spec_options import files_of
from similarity.k_means import index_of_centroids, nearest_centroids, spherical_k_means, unit_length

#: Images per cluster and largest number of clusters, by default. Clusters finer than classes cost little but time;
#: coarser ones mix classes: see ``benchmarks/unlabelled.py``.
IMAGES_A_CLUSTER, MOST_CLUSTERS = 25, 4096
#: Most images per cluster, and most numbers in total (float32: 2 GiB), of the sample that k-means runs on.
_SAMPLE_A_CLUSTER, _SAMPLE_NUMBERS = 256, 1 << 29


@dataclass(frozen=True)
class ClusterConfig:
    """Cluster the images of a feature bank, and write a bank of the clusters: pseudo-classes to rank and select.

    Attributes:
        bank: The feature bank (.h5), extracted with `keep_images`; its own classes are ignored.
        out: The bank of the clusters (.h5). A table (.csv) of the same name lists the cluster of each image.
        clusters: Number of clusters; by default one per 25 images, at most 4096.
        iterations: Iterations of k-means.
        seed: Seed of the sample and of the initial centroids.
        keep_images: Store the image features in the new bank too, for the measures that need them.
        overwrite: Replace existing files.
    """

    bank: str
    out: str
    clusters: Annotated[int | None, Range(2)] = None
    iterations: Annotated[int, Range(1, MOST_REPEATS)] = 10
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    keep_images: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        check_ending(self.out, SUFFIXES)
        if "?" in self.out:
            raise InputError(f"`out` {self.out}: a dataset spec cannot contain this name; leave out the ?")


@dataclass(frozen=True)
class Clustering:
    """The clusters of a bank.

    Attributes:
        path: The bank of the clusters.
        dataset: Dataset spec of the images by cluster, ``clusters:FILE.csv``.
        counts: Images of each cluster, largest first.
        empty: Number of clusters without an image.
        cosine: Mean cosine similarity between an image and the centroid of its cluster, −1 to 1.
    """

    path: Location
    dataset: str
    counts: tuple[int, ...]
    empty: int
    cosine: float

    @cached_property
    def bank(self) -> FeatureBank:
        """The bank of the clusters."""
        return FeatureBank.open(self.path)

    def to_json(self) -> dict[str, Any]:
        """The output of ``transfer cluster --json``."""
        return {
            "bank": str(self.path),
            "dataset": self.dataset,
            "clusters": len(self.counts),
            "images": sum(self.counts),
            "largest": self.counts[0],
            "smallest": self.counts[-1],
            "empty": self.empty,
            "cosine": self.cosine,
        }


def cluster(config: ClusterConfig) -> Clustering:
    """Cluster the images of a bank, and write the bank of the clusters and the table of images by cluster.

    Clusters are named ``cluster 0000``, ``cluster 0001``, … in descending order of size; those without an image are
    left out. The result is reproducible on one machine. Features are read in blocks, except for the sample that k-means
    runs on (at most 2 GiB).

    Raises:
        InputError: The bank keeps no image features or fewer images than clusters, two of its images have the same id,
            its dataset cannot be opened or has changed, or ``out`` exists.
    """
    out = located(config.out)
    table = out.with_suffix(".csv")
    spec = DatasetSpec("clusters", str(table))
    bank = FeatureBank.open(config.bank)
    base = DatasetSpec.parse(bank.name)
    read: list[str | Location] = [config.bank, *files_of(base)]
    finish_joint_files([out, table])
    check_new({"`out`": out, "the table beside `out`": table}, read=read, overwrite=config.overwrite)
    _, ids = bank.image_labels()
    _check(bank, ids)
    n_clusters = config.clusters or min(max(2, len(ids) // IMAGES_A_CLUSTER), MOST_CLUSTERS)
    if n_clusters > len(ids):
        raise InputError(f"`clusters` {n_clusters}: {bank.name} has {len(ids)} images; give at most as many")

    points = _sample(bank, len(ids), _SAMPLE_A_CLUSTER * n_clusters, config.seed)
    if n_clusters > len(points):
        raise InputError(
            f"`clusters` {n_clusters}: k-means runs on a sample of {len(points)} images of {bank.name}; give at most "
            f"as many"
        )
    centroids = spherical_k_means(points, n_clusters, config.iterations, config.seed)
    del points
    found, cosine = _assign(bank, len(ids), centroids)
    counts = np.bincount(found, minlength=n_clusters)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    place = np.full(n_clusters, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    labels = place[found]
    names = [f"cluster {number:0{max(4, len(str(n_clusters - 1)))}d}" for number in range(len(order))]

    provenance = {"bank": config.bank, "clusters": n_clusters, "iterations": config.iterations}
    provenance |= {"seed": config.seed, "backbone": bank.attrs.get("backbone")}
    rows = zip(ids, (names[label] for label in labels.tolist()), strict=True)
    with atomic_files([out, table]) as (new_bank, aside):
        write_clusters(aside, bank.name, str(bank.attrs["manifest_sha256"]), rows, provenance)
        manifest = open_dataset(DatasetSpec("clusters", str(aside)), images=False).manifest_sha256
        attrs = {"dataset": str(spec), "split": None, "manifest_sha256": manifest}
        regroup(bank, labels, names, new_bank, attrs=attrs, keep_images=config.keep_images)
    return Clustering(out, str(spec), tuple(counts[order].tolist()), n_clusters - len(order), cosine)


def _check(bank: FeatureBank, ids: Texts) -> None:
    """Raise `InputError` before the work if the table of clusters could not be read as a dataset afterwards."""
    if (twice := ids.stripped().repeated()) is not None:
        id_ = ids[twice[1]].strip()
        raise InputError(f"{bank.name}: two images have the id {id_!r}; a table of clusters could not tell them apart")
    if open_dataset(bank.name, images=False).manifest_sha256 != bank.attrs.get("manifest_sha256"):
        raise InputError(f"{bank.path}: its dataset {bank.name} has changed since; extract it again with `keep_images`")


def _sample(bank: FeatureBank, images: int, size: int, seed: int) -> NDArray[np.float32]:
    """(n, D) points of length 1: a random sample of at most ``size`` images and ``_SAMPLE_NUMBERS`` numbers."""
    width = bank.means.shape[1]
    size = min(images, size, max(1, _SAMPLE_NUMBERS // width))
    chosen = np.zeros(images, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(images)[:size]] = True
    points = np.empty((size, width), dtype=np.float32)
    position = filled = 0
    for block in bank.image_blocks():
        part = unit_length(block[chosen[position : position + len(block)]])
        points[filled : filled + len(part)] = part
        position, filled = position + len(block), filled + len(part)
    return points


def _assign(bank: FeatureBank, images: int, centroids: NDArray[np.float32]) -> tuple[NDArray[np.int64], float]:
    """(N,) index of the nearest centroid of each image, and the mean cosine similarity to it."""
    index = index_of_centroids(centroids)
    nearest: list[NDArray[np.int64]] = []
    total = 0.0
    with progress("nearest centroid", images) as advance:
        for block in bank.image_blocks():
            cosine, found = nearest_centroids(index, unit_length(block))
            nearest.append(found)
            total += float(cosine.sum(dtype=np.float64))
            advance(len(block))
    return np.concatenate(nearest), total / images
