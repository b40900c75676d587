"""Random subsets of a dataset: K images a class, or a long tail."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.readers.scheme import SpecOption

#: The options of :func:`draw`.
DRAW_OPTIONS = {
    "per_class": SpecOption("K", "K images of each class, drawn at random; a class that has fewer keeps all"),
    "imbalance": SpecOption("F", "a long tail: from the largest class down to 1/F of it, in the order of the labels"),
    "seed": SpecOption("S", "the seed of `per_class`, `imbalance` and `holdout`", "0"),
}


def long_tail_counts(largest: int, classes: int, imbalance: float) -> NDArray[np.int64]:
    """Return the images of each class in a long tail: n_i = int(n_max · f^(i / (C − 1))), f = 1 / imbalance.

    Source: Cui, Jia, Lin, Song and Belongie, Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019,
    section 5.1, and its code. i is the label of the class, n_max = ``largest`` the images of class 0, C at least 1, and
    ``imbalance`` the ratio of n_max to the images of the smallest class, at least 1. The result is (C,) int64.

    >>> long_tail_counts(500, 100, 100).sum()
    np.int64(10847)
    """
    f = 1.0 / imbalance
    return np.array([int(largest * f ** (i / max(classes - 1, 1))) for i in range(classes)], dtype=np.int64)


def draw_indices(labels: NDArray[np.int64], quota: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Draw ``quota[c]`` images of each class c, or all its images if it has fewer; return their positions, ascending.

    For one seed, a smaller quota draws a subset of a larger one. ``labels`` are (N,) 0 to C − 1, ``quota`` is (C,).
    """
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    counts = np.bincount(labels, minlength=len(quota))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.arange(len(labels)) - first < np.repeat(quota, counts)
    return np.sort(shuffled[kept])


def draw(dataset: ImageDataset, spec: DatasetSpec) -> ImageDataset:
    """Apply :data:`DRAW_OPTIONS`; raise `InputError` if one is malformed, only a seed, or leaves a class empty."""
    per_class = spec.integer("per_class", minimum=1)
    seed = spec.integer("seed", 0) or 0
    if per_class is None and "imbalance" not in spec.options:
        if "seed" in spec.options and "holdout" not in spec.options:
            raise spec.error("seed=… is the seed of per_class=…, imbalance=… and holdout=…; give one of them too")
        return dataset
    quota = dataset.counts if per_class is None else np.minimum(dataset.counts, per_class)
    if "imbalance" in spec.options:
        tail = long_tail_counts(int(dataset.counts.max()), len(dataset.classes), _imbalance(spec))
        if not tail.all():
            name = dataset.classes[int(np.argmin(tail))]
            raise spec.error(
                f"imbalance={spec.options['imbalance']} leaves class {name!r} without an image; "
                f"the largest class has {dataset.counts.max()} images; give a smaller imbalance"
            )
        quota = np.minimum(quota, tail)
    return dataset.take(draw_indices(dataset.labels, quota, seed))


def _imbalance(spec: DatasetSpec) -> float:
    try:
        value = float(spec.options["imbalance"])
    except ValueError:
        value = math.nan
    if not 1 <= value < math.inf:  # false for nan too
        raise spec.error(f"imbalance={spec.options['imbalance']} is not a number of at least 1")
    return value
