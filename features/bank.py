"""The feature bank: class statistics of one dataset under one backbone, in one HDF5 file, and its layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from features.infrastructure.addresses import Location, located
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import atomic_hdf5, opened, read_attributes, read_text, readable, write_text
from features.infrastructure.names import class_names

SCHEMA = "transfer.feature-bank"
SCHEMA_VERSION = 1
#: File name endings of banks.
SUFFIXES = (".h5", ".hdf5")

#: Attributes that agree in any two banks that are compared.
COMPARABLE = ("backbone", "weights_sha256", "transform", "pooling")
#: Attributes that agree with the request if a bank is reused.
IDENTITY = (*COMPARABLE, "image_size", "precision", "dataset", "manifest_sha256")

#: Features (N, D), labels (N,) and ids (N,) of the images of a bank.
Images = tuple[NDArray[np.floating], NDArray[np.int64], list[str]]


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Class statistics of one dataset under one backbone.

    Attributes:
        classes: (C,) class names.
        counts: (C,) int64, number of images of each class.
        means: (C, D) float32, mean feature of each class.
        variances: (C, D) float32, population variance of each feature in each class.
        within_covariance: (D, D) float32, pooled within-class covariance.
        attrs: Dataset, split, backbone, hash of the weights, transform and so forth: see :data:`IDENTITY`.
        skipped: Unreadable images, as (id, reason).
        path: The file or the address that the bank was read from; None for a bank in memory.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    means: NDArray[np.float32]
    variances: NDArray[np.float32]
    within_covariance: NDArray[np.float32]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    path: Location | None = None

    def __post_init__(self) -> None:
        where = self.path or self.name
        n_classes, width = len(self.classes), self.means.shape[-1] if self.means.ndim else 0
        shapes = {
            "counts": (self.counts.shape, (n_classes,)),
            "means": (self.means.shape, (n_classes, width)),
            "variances": (self.variances.shape, (n_classes, width)),
            "within_covariance": (self.within_covariance.shape, (width, width)),
        }
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise InputError(f"{where}: {name} has shape {found}, expected {expected}")
        if n_classes == 0:
            raise InputError(f"{where}: the bank has no class")
        if len(set(self.classes)) != n_classes:
            twice = Counter(self.classes).most_common(1)[0][0]
            raise InputError(f"{where}: the class name {twice!r} occurs twice")
        if not (self.counts > 0).all():
            worst = int(np.argmin(self.counts))
            fault = f"class {self.classes[worst]!r} has count {self.counts[worst]}"
            raise InputError(f"{where}: {fault}; every count must be positive")
        for name in ("means", "variances", "within_covariance"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"{where}: {name} holds NaN or infinity; extract the bank again")
        if (self.variances < 0).any():
            raise InputError(f"{where}: variances holds a negative value; extract the bank again")

    @property
    def name(self) -> str:
        """The name of the bank in messages and tables: its dataset spec, else its path."""
        return str(self.attrs.get("dataset") or self.path or "feature bank")

    @classmethod
    def open(cls, path: str | Location) -> FeatureBank:
        """Read a bank; raise `InputError` if the file is missing or no complete feature bank of this version."""
        path = located(path)
        if not path.is_file():
            name = path if path.suffix in SUFFIXES else "BANK.h5"
            raise InputError(f"{path}: no such feature bank; make one with: transfer extract DATASET --out {name}")
        with readable(path, "feature bank") as file:
            attrs = read_attributes(file)
            if attrs.get("schema") != SCHEMA:
                raise InputError(
                    f"{path}: an HDF5 file, but not a feature bank (schema is {attrs.get('schema')!r}); "
                    f"shards become a bank with: transfer merge"
                )
            if attrs.get("schema_version") != SCHEMA_VERSION or not attrs.get("complete"):
                raise InputError(
                    f"{path}: schema version {attrs.get('schema_version')}, complete={attrs.get('complete')}; "
                    f"expected a complete bank of version {SCHEMA_VERSION}; extract it again"
                )
            return cls(
                classes=class_names(read_text(file, "class/name")),
                counts=file["class/count"][:],
                means=file["class/mean"][:],
                variances=file["class/variance"][:],
                within_covariance=file["within/covariance"][:],
                attrs=attrs,
                skipped=tuple(read_skipped(file)),
                path=path,
            )

    @property
    def keeps_images(self) -> bool:
        """Whether the file holds the feature of every image."""
        if self.path is None:
            return False
        with opened(self.path) as file:
            return "image/feature" in file

    def images(self) -> Images:
        """Read the features (N, D), labels (N,) and ids (N,) of the images; see :meth:`image_labels` for errors."""
        labels, ids = self.image_labels()
        with opened(self._file) as file:
            features = file["image/feature"][:]
        return features if len(features) == len(ids) else features[self._labels_of_file() >= 0], labels, ids

    def image_labels(self) -> tuple[NDArray[np.int64], list[str]]:
        """Read the labels (N,) and ids (N,) of the images whose features are kept.

        Raises:
            InputError: The bank was made without ``keep_images``.
        """
        labels = self._labels_of_file()
        with opened(self._file) as file:
            ids = read_text(file, "image/id")
        kept = np.flatnonzero(labels >= 0)
        return labels[kept], ids if len(kept) == len(ids) else [ids[i] for i in kept]

    def image_blocks(self, rows: int = 4096) -> Iterator[NDArray[np.floating]]:
        """Yield the features of :meth:`images` in the same order, reading ``rows`` images of the file at a time."""
        kept = self._labels_of_file() >= 0
        with opened(self._file) as file:
            for start in range(0, len(kept), rows):
                yield file["image/feature"][start : start + rows][kept[start : start + rows]]

    @property
    def _file(self) -> Location:
        """The file that the bank was read from."""
        assert self.path is not None
        return self.path

    def _labels_of_file(self) -> NDArray[np.int64]:
        """Read the label of each image in the file; −1 if its class was dropped by :meth:`at_least`."""
        if not self.keeps_images:
            raise InputError(f"{self.name}: the bank keeps no image features; extract it again with `keep_images`")
        with opened(self._file) as file:
            classes, labels = class_names(read_text(file, "class/name")), file["image/label"][:]
        position = {name: label for label, name in enumerate(self.classes)}
        return np.array([position.get(name, -1) for name in classes], dtype=np.int64)[labels]

    def write(self, path: str | Location, images: Images | None = None) -> FeatureBank:
        """Write the bank, completely or not at all, with ``images`` if given, and return it as opened from ``path``.

        Raises:
            ValueError: The shapes of the images' arrays do not agree with each other or with the bank.
        """
        if images is not None:
            features, labels, ids = images
            width = self.means.shape[1]
            if features.shape != (len(ids), width) or len(labels) != len(ids):
                found = f"{features.shape}, {len(labels)} and {len(ids)}"
                raise ValueError(f"images must be features (N, {width}), N labels and N ids, got {found}")
        path = located(path)
        with atomic_hdf5(path, {**self.attrs, "schema": SCHEMA, "schema_version": SCHEMA_VERSION}) as file:
            write_text(file, "class/name", self.classes)
            file["class/count"] = self.counts.astype(np.int64)
            file["class/mean"] = self.means.astype(np.float32)
            file["class/variance"] = self.variances.astype(np.float32)
            file["within/covariance"] = self.within_covariance.astype(np.float32)
            write_skipped(file, self.skipped)
            if images is not None:
                write_images(file, images)
        return FeatureBank.open(path)

    def require_comparable(self, other: FeatureBank) -> None:
        """Raise `InputError` if the features of two banks do not live in one space, as :data:`COMPARABLE` tells."""
        for name in COMPARABLE:
            mine, theirs = self.attrs.get(name), other.attrs.get(name)
            if mine != theirs:
                raise InputError(
                    f"{self.path or self.name} and {other.path or other.name} cannot be compared: {name} is "
                    f"{mine!r} in one and {theirs!r} in the other; extract both with the same `backbone`, `weights` "
                    f"and `image_size`"
                )

    def at_least(self, min_count: int) -> FeatureBank:
        """Keep the classes of at least ``min_count`` images, or raise `InputError` if there is none.

        The within-class covariance stays that of all classes.
        """
        kept = np.flatnonzero(self.counts >= min_count)
        if not len(kept):
            raise InputError(
                f"{self.name}: no class has {min_count} images (the largest has {self.counts.max()}); lower `min_count`"
            )
        classes = tuple(self.classes[i] for i in kept)
        counts, means, variances = self.counts[kept], self.means[kept], self.variances[kept]
        return replace(self, classes=classes, counts=counts, means=means, variances=variances)


def write_images(file: h5py.File, images: Images) -> None:
    """Store the features (N, D), labels (N,) and ids (N,) of images in a bank or a shard."""
    features, labels, ids = images
    file["image/feature"] = features
    file["image/label"] = labels.astype(np.int64)
    write_text(file, "image/id", ids)


def write_skipped(file: h5py.File, skipped: Sequence[tuple[str, str]]) -> None:
    """Store unreadable images, as (id, reason), in a bank or a shard."""
    write_text(file, "skipped/id", [id_ for id_, _ in skipped])
    write_text(file, "skipped/reason", [reason for _, reason in skipped])


def read_skipped(file: h5py.File) -> list[tuple[str, str]]:
    """Read what :func:`write_skipped` has stored."""
    return list(zip(read_text(file, "skipped/id"), read_text(file, "skipped/reason"), strict=True))
