"""The feature bank: class statistics of one dataset under one backbone, in one HDF5 file, and its layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from features.infrastructure.addresses import Address, Location, located
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

#: Attribute of a file that names the class statistics which are not known, and have no dataset in it.
_UNKNOWN = "unknown"
#: Attribute of a bank that was made of class means: of no images, so that none can be kept.
OF_MEANS = "of_class_means"
#: What the attribute ``backbone`` begins with if features were computed elsewhere, and nobody said by which model.
UNKNOWN_MODEL = "unknown model "
#: Largest relative deviation of the mean squared length of features that were scaled to length 1, in float16 too.
_UNIT_LENGTH = 1e-3

#: Features (N, D), labels (N,) and ids (N,) of the images of a bank.
Images = tuple[NDArray[np.floating], NDArray[np.int64], list[str]]


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Class statistics of one dataset under one backbone.

    Attributes:
        classes: (C,) class names.
        counts: (C,) int64, number of images of each class; 1 each if ``counts_known`` is false, so that all classes
            weigh the same.
        means: (C, D) float32, mean feature of each class.
        variances: (C, D) float32, population variance of each feature in each class; None if it is not known.
        within_covariance: (D, D) float32, pooled within-class covariance; None if it is not known. It is 0, not None,
            if every class has one image.
        attrs: Dataset, split, backbone, hash of the weights, transform and so forth: see :data:`IDENTITY`.
        skipped: Unreadable images, as (id, reason).
        path: The file or the address that the bank was read from; None for a bank in memory.
        counts_known: Whether the numbers of images are known. A bank of class means alone may lack them; it has no
            variances and no covariance then, because nothing would say of how many images.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    means: NDArray[np.float32]
    variances: NDArray[np.float32] | None
    within_covariance: NDArray[np.float32] | None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    path: Location | None = None
    counts_known: bool = True

    def __post_init__(self) -> None:
        where = self.path or self.name
        n_classes, width = len(self.classes), self.means.shape[-1] if self.means.ndim else 0
        shapes = {
            "counts": (n_classes,),
            "means": (n_classes, width),
            "variances": (n_classes, width),
            "within_covariance": (width, width),
        }
        held = {name: array for name in shapes if (array := getattr(self, name)) is not None}
        for name, array in held.items():
            if array.shape != shapes[name]:
                raise InputError(f"{where}: {name} has shape {array.shape}, expected {shapes[name]}")
        if n_classes == 0:
            raise InputError(f"{where}: the bank has no class")
        if len(set(self.classes)) != n_classes:
            twice = Counter(self.classes).most_common(1)[0][0]
            raise InputError(f"{where}: the class name {twice!r} occurs twice")
        if not (self.counts > 0).all():
            worst = int(np.argmin(self.counts))
            fault = f"class {self.classes[worst]!r} has count {self.counts[worst]}"
            raise InputError(f"{where}: {fault}; every count must be positive")
        for name, array in held.items():
            if not np.isfinite(array).all():
                raise InputError(f"{where}: {name} holds NaN or infinity; extract the bank again")
        if self.variances is not None and (self.variances < 0).any():
            raise InputError(f"{where}: variances holds a negative value; extract the bank again")
        if not self.counts_known and len(held) > 2:
            raise InputError(f"{where}: variances or a covariance without the number of images of each class")

    @property
    def name(self) -> str:
        """The name of the bank in messages and tables: its dataset spec, else its path."""
        return str(self.attrs.get("dataset") or self.path or "feature bank")

    @property
    def images_in(self) -> int | None:
        """Number of images of all classes together; None if it is not known."""
        return int(self.counts.sum()) if self.counts_known else None

    @property
    def statistics(self) -> tuple[str, ...]:
        """The class statistics that are known, of count, mean, variance and covariance."""
        known = self.counts_known, True, self.variances is not None, self.within_covariance is not None
        return tuple(compress(("count", "mean", "variance", "covariance"), known))

    @property
    def is_of_means(self) -> bool:
        """Whether the bank was made of class means, with or without their spread, so that it cannot keep images."""
        # Banks of earlier versions lack the attribute. Images always have a spread.
        return bool(self.attrs.get(OF_MEANS)) or (self.variances is None and self.within_covariance is None)

    @classmethod
    def open(cls, path: str | Location) -> FeatureBank:
        """Read a bank; raise `InputError` if the file is missing or no complete feature bank of this version."""
        path = located(path)
        if not path.is_file():
            name = path if path.suffix in SUFFIXES else "BANK.h5"
            is_spec = not isinstance(path, Address) and ":" in str(path) and name == "BANK.h5"
            dataset = f"folder:{path}" if path.is_dir() else str(path) if is_spec else "DATASET"
            raise InputError(f"{path}: no such feature bank; make one with: transfer extract {dataset} --out {name}")
        with readable(path, "feature bank") as file:
            attrs = read_attributes(file)
            unknown = str(attrs.pop(_UNKNOWN, "")).split()
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
                counts=np.ones(len(file["class/mean"]), np.int64) if "count" in unknown else file["class/count"][:],
                means=file["class/mean"][:],
                variances=None if "variance" in unknown else file["class/variance"][:],
                within_covariance=None if "covariance" in unknown else file["within/covariance"][:],
                attrs=attrs,
                skipped=tuple(read_skipped(file)),
                path=path,
                counts_known="count" not in unknown,
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
            raise InputError(
                f"{self.name}: the bank keeps no image features; "
                + (
                    "it is made of class means, not of images"
                    if self.is_of_means
                    else "extract it again with `keep_images`"
                )
            )
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
        figures = {
            "class/count": self.counts.astype(np.int64) if self.counts_known else None,
            "class/mean": self.means.astype(np.float32),
            "class/variance": None if self.variances is None else self.variances.astype(np.float32),
            "within/covariance": None if self.within_covariance is None else self.within_covariance.astype(np.float32),
        }
        unknown = [name.partition("/")[2] for name, array in figures.items() if array is None]
        attrs = {**self.attrs, "schema": SCHEMA, "schema_version": SCHEMA_VERSION}
        with atomic_hdf5(path, attrs | ({_UNKNOWN: " ".join(unknown)} if unknown else {})) as file:
            write_text(file, "class/name", self.classes)
            for name, array in figures.items():
                if array is not None:
                    file[name] = array
            write_skipped(file, self.skipped)
            if images is not None:
                write_images(file, images)
        return FeatureBank.open(path)

    def require_comparable(self, other: FeatureBank) -> None:
        """Raise `InputError` if the features of two banks do not live in one space.

        They have the same width and agree in :data:`COMPARABLE`. Features that were computed elsewhere, of which a name
        of the model is all that is known, are also either all or none of length 1.
        """
        names = f"{self.path or self.name} and {other.path or other.name} cannot be compared"
        for name in COMPARABLE:
            mine, theirs = self.attrs.get(name), other.attrs.get(name)
            if mine != theirs:
                fault = f"{name} is {mine!r} in one and {theirs!r} in the other"
                raise InputError(f"{names}: {fault}; {_how_to_compare(self, other)}")
        widths = self.means.shape[1], other.means.shape[1]
        if widths[0] != widths[1]:
            raise InputError(
                f"{names}: features of width {widths[0]} and {widths[1]}; extract both with the same backbone"
            )
        lengths = [_mean_square(bank) for bank in (self, other)] if self.attrs.get("weights_sha256") == "" else []
        of_length_1 = [length is not None and abs(length - 1) < _UNIT_LENGTH for length in lengths]
        if None not in lengths and any(of_length_1) and not all(of_length_1):
            scaled, plain = (self, other) if of_length_1[0] else (other, self)
            raise InputError(
                f"{names}: the features of {scaled.name} have length 1, those of {plain.name} have not; scale both or "
                f"neither before you save them"
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
        variances = None if self.variances is None else self.variances[kept]
        return replace(self, classes=classes, counts=self.counts[kept], means=self.means[kept], variances=variances)


def _how_to_compare(bank: FeatureBank, other: FeatureBank) -> str:
    """What to do about two banks whose features were made in different ways, as the end of a sentence."""
    both = bank, other
    elsewhere = [one for one in both if one.attrs.get("weights_sha256") == ""]
    if len(elsewhere) == 2 and any(str(one.attrs.get("backbone")).startswith(UNKNOWN_MODEL) for one in both):
        return "if one model made both, name it in both dataset specs: features:FILE?model=NAME"
    if elsewhere:
        return (
            f"{elsewhere[0].name} was computed elsewhere, and its weights are not known; extract both from the images"
        )
    return "extract both with the same `backbone`, `weights` and `image_size`"


def _mean_square(bank: FeatureBank) -> float | None:
    """Mean squared length of the images' features; None if the variances are not known."""
    if bank.variances is None:
        return None
    squares = np.square(bank.means, dtype=np.float64) + bank.variances
    return float(np.average(squares.sum(axis=1), weights=bank.counts))


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
