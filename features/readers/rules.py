"""The rules that hold for every reader, applied once when a dataset is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.console import say_once
from features.infrastructure.names import as_text, class_names
from features.infrastructure.texts import Texts

#: Names that a message lists.
_LISTED = 5


def named_classes(spec: DatasetSpec, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names as text in one normalisation; raise `InputError` if two become equal by it."""
    found = class_names(names)
    if len(set(found)) < len(found) and len(set(names)) == len(names):
        twice = next(name for i, name in enumerate(found) if name in found[:i])
        raise spec.error(
            f"two classes are called {twice!r}, in two Unicode normalisations; rename one of them, or put their images "
            f"into one folder"
        )
    return found


def by_the_rules(dataset: ImageDataset, spec: DatasetSpec) -> ImageDataset:
    """Apply the rules to a dataset that a reader has opened.

    Names of classes and images are text. An image that is listed twice with one label counts once, and a class without
    an image is left out; lines on the console say so, once for each dataset.

    Raises:
        InputError: An image has two labels, or two class names differ only in Unicode normalisation.
    """
    ids = dataset.ids if dataset.ids.is_plain() else Texts.of(map(as_text, dataset.ids))
    dataset = replace(dataset, classes=named_classes(spec, dataset.classes), ids=ids)
    return with_images(_each_once(dataset, spec))


def with_images(dataset: ImageDataset) -> ImageDataset:
    """Return the dataset without the classes that have no image; a line on the console names them."""
    counts = dataset.counts
    if counts.all() or not len(dataset):
        return dataset
    empty = [name for name, images in zip(dataset.classes, counts, strict=True) if not images]
    names = ", ".join(map(repr, empty[:_LISTED])) + (", …" if len(empty) > _LISTED else "")
    say_once(f"{dataset.spec}: {len(empty)} of {len(counts)} classes have no image and are left out: {names}")
    return dataset.restrict([name for name, images in zip(dataset.classes, counts, strict=True) if images])


def _each_once(dataset: ImageDataset, spec: DatasetSpec) -> ImageDataset:
    """The dataset with each id once."""
    first = dataset.ids.positions(dataset.ids)
    kept = np.flatnonzero(first == np.arange(len(first)))
    if len(kept) == len(dataset):
        return dataset
    if len(wrong := np.flatnonzero(dataset.labels[first] != dataset.labels)):
        i = int(wrong[0])
        one, other = dataset.classes[dataset.labels[first[i]]], dataset.classes[dataset.labels[i]]
        raise spec.error(
            f"the image {dataset.ids[i]} is listed in two classes, {one!r} and {other!r}; remove one of the lines"
        )
    say_once(f"{dataset.spec}: {len(dataset) - len(kept)} images are listed more than once, and count once")
    return dataset.take(kept)
