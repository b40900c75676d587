"""The feature bank: class statistics of one dataset under one backbone, in one HDF5 file.

This module knows the file's layout; a shard (``features/extraction/shard.py``) keeps images in the same way. A bank is
written aside and renamed, so that a file under the final name is always whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import read_attributes, read_text, whole_file, write_text

SCHEMA = "transfer.feature-bank"
SCHEMA_VERSION = 1
#: How a bank's file may end.
SUFFIXES = (".h5", ".hdf5")

#: Two banks can be compared only if all of these agree.
COMPARABLE = ("backbone", "weights_sha256", "transform", "pooling")
#: A bank is reused only if all of these agree with what is asked for.
IDENTITY = (*COMPARABLE, "image_size", "precision", "dataset", "manifest_sha256")

#: Features (N, D), labels (N,) and ids (N,) of images.
Images = tuple[NDArray[np.floating], NDArray[np.int64], list[str]]


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Class statistics of one dataset under one backbone.

    Attributes:
        classes: (C,) class names.
        counts: (C,) int64, images that went into each mean.
        means: (C, D) float32, mean feature of each class.
        variances: (C, D) float32, population variance of each feature in each class.
        within_covariance: (D, D) float32, pooled within-class covariance.
        attrs: Dataset, split, backbone, weights hash, transform, …: see :data:`IDENTITY`.
        skipped: Images that could not be read, as (id, reason).
        path: The file, if the bank was opened from one.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    means: NDArray[np.float32]
    variances: NDArray[np.float32]
    within_covariance: NDArray[np.float32]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    path: Path | None = None

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
            twice = next(name for i, name in enumerate(self.classes) if name in self.classes[:i])
            raise InputError(f"{where}: the class name {twice!r} occurs twice")
        if not (self.counts > 0).all():
            worst = int(np.argmin(self.counts))
            raise InputError(
                f"{where}: class {self.classes[worst]!r} has count {self.counts[worst]}; every count must be positive"
            )
        for name in ("means", "variances", "within_covariance"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"{where}: {name} holds NaN or infinity; extract the bank again")
        if (self.variances < 0).any():
            raise InputError(f"{where}: variances holds a negative value; extract the bank again")

    @property
    def name(self) -> str:
        """What to call the bank in a message or a table: its dataset spec, else its path."""
        return str(self.attrs.get("dataset") or self.path or "feature bank")

    @classmethod
    def open(cls, path: str | Path) -> FeatureBank:
        """Read a bank.

        Raises:
            InputError: There is no such file, or it is not a whole feature bank of this version.
        """
        path = Path(path)
        if not path.is_file():
            name = path if path.suffix in SUFFIXES else "BANK.h5"
            raise InputError(f"{path}: no such feature bank; make one with: transfer extract DATASET --out {name}")
        try:
            with h5py.File(path, "r") as file:
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
                    classes=tuple(read_text(file, "class/name")),
                    counts=file["class/count"][:],
                    means=file["class/mean"][:],
                    variances=file["class/variance"][:],
                    within_covariance=file["within/covariance"][:],
                    attrs=attrs,
                    skipped=tuple(zip(read_text(file, "skipped/id"), read_text(file, "skipped/reason"), strict=True)),
                    path=path,
                )
        except InputError:
            raise
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            # Not HDF5, a path that is missing, or one that holds something of another type.
            raise InputError(f"{path}: not a readable feature bank ({error}); extract it again") from error

    @property
    def keeps_images(self) -> bool:
        """Whether the file holds the feature of every image."""
        if self.path is None:
            return False
        with h5py.File(self.path, "r") as file:
            return "image/feature" in file

    def images(self) -> Images:
        """Per-image features (N, D), labels (N,) and ids, of a bank made with ``--keep-images``.

        Raises:
            InputError: The bank keeps class statistics only.
        """
        labels, ids = self.image_labels()
        with h5py.File(str(self.path), "r") as file:
            features = file["image/feature"][:]
        return features if len(features) == len(ids) else features[self._labels_of_file() >= 0], labels, ids

    def image_labels(self) -> tuple[NDArray[np.int64], list[str]]:
        """Labels (N,) and ids of the images whose features are kept.

        Raises:
            InputError: The bank keeps class statistics only.
        """
        labels = self._labels_of_file()
        with h5py.File(str(self.path), "r") as file:
            ids = read_text(file, "image/id")
        kept = np.flatnonzero(labels >= 0)
        return labels[kept], ids if len(kept) == len(ids) else [ids[i] for i in kept]

    def image_blocks(self, rows: int = 4096) -> Iterator[NDArray[np.floating]]:
        """The features of :meth:`images` in the same order, from at most ``rows`` images of the file at a time.

        Raises:
            InputError: The bank keeps class statistics only.
        """
        kept = self._labels_of_file() >= 0
        with h5py.File(str(self.path), "r") as file:
            for start in range(0, len(kept), rows):
                yield file["image/feature"][start : start + rows][kept[start : start + rows]]

    def _labels_of_file(self) -> NDArray[np.int64]:
        """The label of each image in the file; −1 where its class is none of this bank, which may hold only some."""
        if not self.keeps_images:
            raise InputError(f"{self.name}: the bank keeps no image features; extract it again with --keep-images")
        with h5py.File(str(self.path), "r") as file:
            classes, labels = read_text(file, "class/name"), file["image/label"][:]
        position = {name: label for label, name in enumerate(self.classes)}
        return np.array([position.get(name, -1) for name in classes], dtype=np.int64)[labels]

    def write(
        self,
        path: str | Path,
        images: Images | None = None,
    ) -> FeatureBank:
        """Write the bank, whole or not at all, and return it as opened from ``path``.

        Args:
            path: The file; one that is there is replaced.
            images: Features (N, D), labels (N,) and ids of the images, to keep them too.

        Raises:
            ValueError: The images' features, labels and ids do not fit each other or the bank.
        """
        if images is not None:
            found = (*images[0].shape, len(images[1]), len(images[2]))
            if found != (len(images[2]), self.means.shape[1], len(images[2]), len(images[2])):
                raise ValueError(
                    f"images must be features (N, {self.means.shape[1]}), N labels and N ids, "
                    f"got {images[0].shape}, {len(images[1])} and {len(images[2])}"
                )
        path = Path(path)
        with whole_file(path, {**self.attrs, "schema": SCHEMA, "schema_version": SCHEMA_VERSION}) as file:
            write_text(file, "class/name", self.classes)
            file["class/count"] = self.counts.astype(np.int64)
            file["class/mean"] = self.means.astype(np.float32)
            file["class/variance"] = self.variances.astype(np.float32)
            file["within/covariance"] = self.within_covariance.astype(np.float32)
            write_text(file, "skipped/id", [id_ for id_, _ in self.skipped])
            write_text(file, "skipped/reason", [reason for _, reason in self.skipped])
            if images is not None:
                write_images(file, images)
        return FeatureBank.open(path)

    def require_comparable(self, other: FeatureBank) -> None:
        """Refuse to compare banks whose features do not live in one space.

        Raises:
            InputError: Naming the first attribute that differs.
        """
        for name in COMPARABLE:
            mine, theirs = self.attrs.get(name), other.attrs.get(name)
            if mine != theirs:
                raise InputError(
                    f"{self.path or self.name} and {other.path or other.name} cannot be compared: {name} is "
                    f"{mine!r} in one and {theirs!r} in the other; extract both with the same --backbone, --weights "
                    f"and --image-size"
                )

    def at_least(self, min_count: int) -> FeatureBank:
        """The classes of at least ``min_count`` images. The within-class covariance stays that of all classes.

        Raises:
            InputError: No class is left.
        """
        kept = np.flatnonzero(self.counts >= min_count)
        if not len(kept):
            raise InputError(
                f"{self.name}: no class has {min_count} images (the largest has {self.counts.max()}); lower --min-count"
            )
        return FeatureBank(
            classes=tuple(self.classes[i] for i in kept),
            counts=self.counts[kept],
            means=self.means[kept],
            variances=self.variances[kept],
            within_covariance=self.within_covariance,
            attrs=self.attrs,
            skipped=self.skipped,
            path=self.path,
        )


def write_images(file: h5py.File, images: Images) -> None:
    """Store the features, labels and ids of images."""
    features, labels, ids = images
    file["image/feature"] = features
    file["image/label"] = labels.astype(np.int64)
    write_text(file, "image/id", ids)
