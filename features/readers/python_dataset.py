"""Datasets that only Python has: one of PyTorch, of torchvision or of Hugging Face, as an :class:`ImageDataset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, Subset

from features.dataset import ImageDataset
from features.dataset_spec import IN_PYTHON, DatasetSpec
from features.image_sources import ImageSource
from features.infrastructure.errors import InputError
from features.infrastructure.processes import one_per_core
from features.infrastructure.texts import Texts
from features.readers import open_dataset
from features.readers.class_names import numbered_names
from features.readers.items import Items, Keys
from features.readers.rules import by_the_rules
from features.readers.schemes.huggingface import from_table
from features.readers.schemes.torchvision_dataset import from_torchvision
from features.readers.survey import first_item, survey


class PythonDataset:
    """A dataset of PyTorch, of torchvision or of Hugging Face, an :class:`ImageDataset`, or a spec.

    The arguments are those of :func:`features.extract_features`. Making it reads one item; :meth:`images` reads all of
    them where their labels or their hashes are not known without that.

    Attributes:
        spec: What messages and banks call the dataset.
        shape: The shape of the first item if it is a tensor of floats, which needs no transform; None if it is an
            image.
        source: The images, or tensors, by position.

    Raises:
        InputError: It has no positions, its items cannot be read, or what was said of it does not fit.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        name: str,
        classes: Sequence[str] | None = None,
        labels: Any = None,
        image: Any = None,
        label: Any = None,
        fingerprint: str | None = None,
        workers: int | None = None,
    ) -> None:
        self.dataset, self.classes, self.labels, self.fingerprint = dataset, classes, labels, fingerprint
        self.spec = DatasetSpec(IN_PYTHON, name)
        self.workers = one_per_core() if workers is None else workers
        self.shape: tuple[int, ...] | None = None
        said = {"classes": classes, "labels": labels, "image": image, "label": label, "fingerprint": fingerprint}
        given = [word for word, value in said.items() if value is not None]
        if isinstance(dataset, (str, ImageDataset)):
            if given:
                what = "a dataset spec" if isinstance(dataset, str) else "an ImageDataset"
                raise InputError(f"`{given[0]}`: {what} has its own; leave it out")
            self._known: ImageDataset | None = open_dataset(dataset) if isinstance(dataset, str) else dataset
        else:
            _require_positions(dataset)
            if len(dataset) == 0:
                raise self.spec.error("has no item")
            options: dict[str, str] = {word: str(said[word]) for word in ("image", "label") if word in given}
            known = self._without_reading(dataset, options) if labels is None and fingerprint is None else None
            self._known = None if known is None else by_the_rules(replace(known, spec=str(self.spec)), self.spec)
        self.keys = Keys()
        if self._known is None:
            first = first_item(dataset, image, label, labelled=labels is None, workers=self.workers)
            self.keys, self.shape = first.keys, first.shape
        self.source: ImageSource = self._items({}, b"") if self._known is None else self._known.source

    def images(self) -> ImageDataset:
        """Return the dataset by the rules that hold for every reader."""
        if self._known is not None:
            return self._known
        n, labelled, hashed = len(self.dataset), self.labels is None, self.fingerprint is None
        labels, unreadable, digest = self.labels, dict[int, str](), str(self.fingerprint).encode()
        if labelled or hashed:
            found = survey(
                self.dataset,
                self.keys,
                name=str(self.spec),
                labelled=labelled,
                hashed=hashed,
                workers=self.workers,
            )
            labels = found.labels if labelled else labels
            unreadable, digest = found.unreadable, found.sha256() if hashed else digest
        classes, numbers = self._classes(labels, [i for i in range(n) if i not in unreadable])
        source, ids = self._items(unreadable, digest), list(map(str, range(n)))
        return by_the_rules(ImageDataset(str(self.spec), classes, numbers, Texts.of(ids), source), self.spec)

    def _items(self, unreadable: Mapping[int, str], digest: bytes) -> Items:
        return Items(self.dataset, self.keys, np.arange(len(self.dataset)), unreadable, digest)

    def _without_reading(self, dataset: Any, options: Mapping[str, str]) -> ImageDataset | None:
        """The dataset if its images and labels are known without decoding any; None if they are not."""
        if type(dataset) is Subset:
            whole = self._without_reading(dataset.dataset, options)
            return None if whole is None else whole.take(np.asarray(dataset.indices, dtype=np.int64))
        spec = replace(self.spec, options=options)
        found = from_table(spec, dataset.with_format(None)) if _is_hub_dataset(dataset) else None
        if found is None and not options:
            found = from_torchvision(spec, dataset)
        if found is None or self.classes is None:
            return found
        if len(self.classes) != len(found.classes):
            raise InputError(f"`classes`: {len(self.classes)} names, and the dataset has {len(found.classes)} classes")
        return replace(found, classes=tuple(self.classes))

    def _classes(self, labels: Any, readable: Sequence[int]) -> tuple[tuple[str, ...], Any]:
        """The names of the classes, and the number of each item's class; 0 for an item that has none."""
        if len(labels) != len(self.dataset):
            items = len(self.dataset)
            raise InputError(f"`labels`: {len(labels)}, and the dataset has {items} items; give one an item")
        of_items = labels if len(readable) == len(labels) else [labels[i] for i in readable]
        given = np.asarray(of_items)
        mixed = isinstance(of_items, list) and len({isinstance(label, str) for label in of_items}) > 1
        if mixed or given.ndim != 1 or given.dtype.kind not in "iuU":
            there = "both numbers and words" if mixed else f"{given.dtype} of shape {given.shape}"
            raise InputError(f"{self.spec}: its labels are {there}; expected a whole number, or a word, for each item")
        names = self.classes if self.classes is not None else _names_of(self.dataset)
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


def _require_positions(dataset: Any) -> None:
    """Raise `InputError` for what is not one map-style dataset."""
    if isinstance(dataset, dict):  # of Hugging Face, or one of the user
        raise InputError(f"`dataset`: holds several, {', '.join(map(str, dataset))}; give one of them")
    has_positions = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if isinstance(dataset, IterableDataset) or not has_positions:
        raise InputError(
            f"`dataset`: a {type(dataset).__name__} has no length and no positions; give a map-style dataset, with "
            f"__len__ and __getitem__"
        )


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
