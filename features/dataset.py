"""The dataset that every reader returns: its classes, labels and ids are known before an image is decoded."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features.image_sources import ChainedImages, ImageSource
from features.infrastructure.errors import InputError
from features.infrastructure.texts import Texts


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A labelled set of images, decoded on demand.

    Attributes:
        spec: The dataset spec that it was opened with.
        classes: (C,) class names, in the order of the labels; each name is unique.
        labels: (N,) int64, the class of each image, 0 to C − 1.
        ids: (N,) a stable name of each image, such as its path below the root of the dataset; any texts become
            :class:`Texts`.
        source: Decodes image i, 0 to N − 1.
        numbers: (C,) the number of each class in the files of the dataset; None if it has none, or they have no meaning
            beyond one file.
    """

    spec: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    ids: Texts
    source: ImageSource
    numbers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels, dtype=np.int64))
        object.__setattr__(self, "ids", Texts.of(self.ids))
        if not (len(self.labels) == len(self.ids) == len(self.source)):
            found = f"{len(self.labels)}, {len(self.ids)} and {len(self.source)}"
            raise ValueError(f"labels, ids and source must have one length, got {found}")
        if self.numbers is not None and len(self.numbers) != len(self.classes):
            raise ValueError(f"numbers must be one a class, got {len(self.numbers)} for {len(self.classes)} classes")
        if len(set(self.classes)) != len(self.classes):
            twice = Counter(self.classes).most_common(1)[0][0]
            raise InputError(f"{self.spec}: the class name {twice!r} occurs twice; give each class its own name")
        if len(self.labels) and (self.labels.min() < 0 or self.labels.max() >= len(self.classes)):
            found = f"labels run from {self.labels.min()} to {self.labels.max()}"
            raise InputError(f"{self.spec}: {found}, but there are {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(C,) int64, number of images of each class."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    @cached_property
    def manifest_sha256(self) -> str:
        """SHA-256 of class names, labels, ids and the fingerprint of the source (file sizes, or pixels)."""
        digest = hashlib.sha256()
        for names in (Texts.of(self.classes), self.ids):
            for block in names.blocks_of_bytes(b"\0"):
                digest.update(block)
            digest.update(b"\1")
        digest.update(self.labels.tobytes())
        digest.update(self.source.fingerprint())
        return digest.hexdigest()

    def image(self, index: int, min_side: int | None = None) -> Image.Image:
        """Decode one image, 0 to N − 1, to RGB.

        A large JPEG may be decoded at a reduced scale whose shorter side has at least ``min_side`` pixels.

        Raises:
            features.image_sources.UnreadableImage: The file cannot be decoded.
        """
        return self.source.read(index, min_side)

    def take(self, indices: NDArray[np.integer] | Sequence[int], spec: str | None = None) -> ImageDataset:
        """Return the images at M positions, in that order, with all classes, under another spec if one is given.

        Raises:
            ValueError: The indices are not integers (a mask, for example) or not positions in the dataset.
        """
        chosen = np.asarray(indices)
        if len(chosen) and not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"indices must be integers, got {chosen.dtype}")
        chosen = chosen.astype(np.int64)
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise ValueError(f"indices must be 0 to {len(self) - 1}, got {chosen.min()} to {chosen.max()}")
        ids, source = self.ids.take(chosen), self.source.take(chosen)
        return replace(self, spec=spec or self.spec, labels=self.labels[chosen], ids=ids, source=source)

    def restrict(self, classes: Sequence[str]) -> ImageDataset:
        """Return the images of ``classes`` alone, labelled 0, 1, … in order; raise `InputError` for an unknown one."""
        position = {name: i for i, name in enumerate(self.classes)}
        missing = [name for name in classes if name not in position]
        if missing:
            raise InputError(
                f"{self.spec} has no class {missing[0]!r} ({len(missing)} of {len(classes)} names are unknown); "
                f"its {len(self.classes)} classes begin with {self.classes[0]!r}"
            )
        relabel = np.full(len(self.classes), -1, dtype=np.int64)
        relabel[[position[name] for name in classes]] = np.arange(len(classes))
        kept = np.flatnonzero(relabel[self.labels] >= 0)
        numbers = None if self.numbers is None else tuple(self.numbers[position[name]] for name in classes)
        return replace(self.take(kept), classes=tuple(classes), labels=relabel[self.labels[kept]], numbers=numbers)


def concatenate(datasets: Sequence[ImageDataset]) -> ImageDataset:
    """Join datasets; equal class names in two of them stay two classes.

    A class whose name occurs in one dataset alone keeps it; others are called ``SPEC/NAME``.
    """
    if len(datasets) == 1:
        return datasets[0]
    taken = Counter(name for dataset in datasets for name in dataset.classes)
    starts = np.cumsum([0, *(len(dataset.classes) for dataset in datasets)])
    return ImageDataset(
        spec=" + ".join(dataset.spec for dataset in datasets),
        classes=tuple(
            name if taken[name] == 1 else f"{dataset.spec}/{name}" for dataset in datasets for name in dataset.classes
        ),
        labels=np.concatenate([dataset.labels + start for dataset, start in zip(datasets, starts, strict=False)]),
        ids=Texts.joined([dataset.ids for dataset in datasets]),
        source=ChainedImages([dataset.source for dataset in datasets]),
    )
