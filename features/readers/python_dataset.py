"""Datasets that only Python has: one of PyTorch, of torchvision or of Hugging Face, as an :class:`ImageDataset`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, Subset

from features.dataset import ImageDataset
from features.dataset_spec import IN_PYTHON, DatasetSpec
from features.decoding import one_per_core
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from features.readers.class_names import numbered_names
from features.readers.items import Items
from features.readers.rules import by_the_rules
from features.readers.schemes.huggingface import from_table
from features.readers.schemes.torchvision_dataset import from_torchvision
from features.readers.survey import first_item, survey


@dataclass(frozen=True, kw_only=True)
class PythonDataset:
    """What a user says of a dataset; see :func:`features.extract_features`."""

    name: str
    classes: Sequence[str] | None = None
    labels: Any = None
    image: Any = None
    label: Any = None
    fingerprint: str | None = None
    workers: int | None = None

    @property
    def spec(self) -> DatasetSpec:
        """What messages and banks call the dataset."""
        return DatasetSpec(IN_PYTHON, self.name)

    def open(self, dataset: Any) -> tuple[ImageDataset, tuple[int, ...] | None]:
        """Adapt a dataset by the rules that hold for every reader.

        Returns:
            The dataset, and the shape of its items if they are tensors of floats, which need no transform; None if they
            are images.

        Raises:
            InputError: It has no positions, its items cannot be read, or what was said of it does not fit.
        """
        if isinstance(dataset, (str, ImageDataset)):
            given = [name for name in ("classes", "labels", "image", "label", "fingerprint") if self._gives(name)]
            if given:
                what = "a dataset spec" if isinstance(dataset, str) else "an ImageDataset"
                raise InputError(f"`{given[0]}`: {what} has its own; leave it out")
            return open_dataset(dataset) if isinstance(dataset, str) else dataset, None
        if isinstance(dataset, dict):  # of Hugging Face, or one of the user
            raise InputError(f"`dataset`: holds several, {', '.join(map(str, dataset))}; give one of them")
        has_positions = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        if isinstance(dataset, IterableDataset) or not has_positions:
            raise InputError(
                f"`dataset`: a {type(dataset).__name__} has no length and no positions; give a map-style dataset, with "
                f"__len__ and __getitem__"
            )
        if len(dataset) == 0:
            raise self.spec.error("has no item")
        known = self._without_reading(dataset) if self.labels is None and self.fingerprint is None else None
        found, shape = (known, None) if known is not None else self._by_reading(dataset)
        return by_the_rules(replace(found, spec=str(self.spec)), self.spec), shape

    def _gives(self, name: str) -> bool:
        return getattr(self, name) is not None

    def _without_reading(self, dataset: Any) -> ImageDataset | None:
        """The dataset if its images and labels are known without decoding any; None if they are not."""
        if type(dataset) is Subset:
            whole = self._without_reading(dataset.dataset)
            return None if whole is None else whole.take(np.asarray(dataset.indices, dtype=np.int64))
        options = {name: str(getattr(self, name)) for name in ("image", "label") if self._gives(name)}
        spec = replace(self.spec, options=options)
        found = from_table(spec, dataset.with_format(None)) if _is_hub_dataset(dataset) else None
        if found is None and not options:
            found = from_torchvision(spec, dataset)
        if found is None or self.classes is None:
            return found
        if len(self.classes) != len(found.classes):
            raise InputError(f"`classes`: {len(self.classes)} names, and the dataset has {len(found.classes)} classes")
        return replace(found, classes=tuple(self.classes))

    def _by_reading(self, dataset: Any) -> tuple[ImageDataset, tuple[int, ...] | None]:
        """The dataset after a pass over its items for their labels and hashes, and the shape of tensors."""
        n, workers = len(dataset), one_per_core() if self.workers is None else self.workers
        labelled, hashed = self.labels is None, self.fingerprint is None
        first = first_item(dataset, self.image, self.label, labelled=labelled, workers=workers)
        labels, unreadable, digest = self.labels, dict[int, str](), str(self.fingerprint).encode()
        if labelled or hashed:
            keys, name = first.keys, str(self.spec)
            found = survey(dataset, keys, name=name, labelled=labelled, hashed=hashed, workers=workers)
            labels = found.labels if labelled else labels
            unreadable, digest = found.unreadable, found.sha256() if hashed else digest
        classes, numbers = self._classes(dataset, labels, [i for i in range(n) if i not in unreadable])
        source = Items(dataset, first.keys, np.arange(n), unreadable, digest)
        ids = list(map(str, range(n)))
        return ImageDataset(str(self.spec), classes, numbers, ids, source), first.shape

    def _classes(self, dataset: Any, labels: Any, readable: Sequence[int]) -> tuple[tuple[str, ...], Any]:
        """The names of the classes, and the number of each item's class; 0 for an item that has none."""
        if len(labels) != len(dataset):
            raise InputError(f"`labels`: {len(labels)}, and the dataset has {len(dataset)} items; give one an item")
        of_items = labels if len(readable) == len(labels) else [labels[i] for i in readable]
        given = np.asarray(of_items)
        mixed = isinstance(of_items, list) and len({isinstance(label, str) for label in of_items}) > 1
        if mixed or given.ndim != 1 or given.dtype.kind not in "iuU":
            there = "both numbers and words" if mixed else f"{given.dtype} of shape {given.shape}"
            raise InputError(f"{self.spec}: its labels are {there}; expected a whole number, or a word, for each item")
        names = self.classes if self.classes is not None else _names_of(dataset)
        values, found = np.unique(given, return_inverse=True)
        if given.dtype.kind == "U":
            words = values.tolist()
            names = words if self.classes is None else list(self.classes)
            if unknown := [word for word in words if word not in set(names)]:
                raise InputError(f"`classes`: lack the label {unknown[0]!r}, which an item has")
            place = {name: i for i, name in enumerate(names)}
            found = np.array([place[word] for word in words])[found]
        elif names is not None:
            found = given
        else:
            names = numbered_names(values.tolist())
        numbers = np.zeros(len(labels), dtype=np.int64)
        numbers[np.asarray(readable, dtype=np.int64)] = found
        return tuple(names), numbers


def _names_of(dataset: Any) -> list[str] | None:
    """The class names that a dataset, or the one that it wraps, states; None if it states none."""
    names = getattr(dataset, "classes", None)
    if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
        return list(names)
    return _names_of(dataset.dataset) if hasattr(dataset, "dataset") else None


def _is_hub_dataset(dataset: Any) -> bool:
    """Whether it is a ``datasets.Dataset`` whose items are its rows, not what a function makes of them."""
    ours = type(dataset).__module__.partition(".")[0] == "datasets" and hasattr(dataset, "features")
    return ours and dataset.format["type"] != "custom"
