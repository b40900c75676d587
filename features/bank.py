"""The feature bank: class statistics of one dataset under one backbone, in one HDF5 file, and its layout."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank_checks import check_schema, check_statistics, fault_of_covariance, plain_attributes
from features.infrastructure.disk.held_files import HeldFile
from features.infrastructure.disk.stored_rows import StoredRows
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5.content import Content, stored
from features.infrastructure.hdf5.opening import Writer, atomic_hdf5
from features.infrastructure.names import class_names
from features.infrastructure.storage.addresses import Address, Location, located
from features.infrastructure.texts import Texts

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
#: What messages call the file.
_KIND = "feature bank"
#: Largest relative deviation of the mean squared length of features that were scaled to length 1, in float16 too.
_UNIT_LENGTH = 1e-3

#: Features (N, D), labels (N,) and ids (N,) of the images of a bank.
Images = tuple[NDArray[np.floating], NDArray[np.int64], Texts]
#: The same to be written.
NewImages = tuple[NDArray[np.floating] | StoredRows, NDArray[np.int64], Sequence[str]]


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
    #: The file with the features of the images; None if it has none.
    _images: HeldFile | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        where = str(self.path or self.name)
        held = {"means": self.means, "variances": self.variances, "within_covariance": self.within_covariance}
        check_statistics(where, self.classes, self.counts, held)
        if not self.counts_known and (self.variances is not None or self.within_covariance is not None):
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
            make = shlex.join(["transfer", "extract", dataset, "--out", str(name)])
            raise InputError(f"{path}: no such feature bank; make one with: {make}")
        with stored(path, _KIND) as content:
            advice = "shards become a bank with: transfer merge"
            check_schema(path, _KIND, content.attributes, SCHEMA, SCHEMA_VERSION, advice=advice)
            attrs = plain_attributes(content.attributes)
            if str(attrs.get("complete")) not in ("True", "1"):
                raise InputError(f"{path}: a feature bank that is not complete; extract it again")
            unknown = attrs.pop(_UNKNOWN, "").split()
            classes = class_names(content.text("class/name"))
            means = content.array("class/mean", "floats", (len(classes), None)).astype(np.float32, copy=False)
            n_classes, width = means.shape

            def known(statistic: str, name: str, *shape: int) -> NDArray[np.float32] | None:
                return None if statistic in unknown else content.array(name, "floats", shape).astype("f4", copy=False)

            covariance = known("covariance", "within/covariance", width, width)
            if covariance is not None and (fault := fault_of_covariance(covariance)):
                raise InputError(f"{path}: within/covariance {fault}; extract the bank again")
            return cls(
                classes=classes,
                counts=np.ones(n_classes, np.int64)
                if "count" in unknown
                else content.array("class/count", "whole numbers", (n_classes,)).astype(np.int64, copy=False),
                means=means,
                variances=known("variance", "class/variance", n_classes, width),
                within_covariance=covariance,
                attrs=attrs,
                skipped=tuple(read_skipped(content)),
                path=path,
                counts_known="count" not in unknown,
                _images=content.hold() if "image/feature" in content else None,
            )

    @property
    def keeps_images(self) -> bool:
        """Whether the file holds the feature of every image."""
        return self.path is not None and self._images is not None

    def images(self) -> Images:
        """Read the features (N, D), labels (N,) and ids (N,) of the images; see :meth:`image_labels` for errors."""
        with self._stored() as content:
            labels = self._labels(content)
            ids = content.texts("image/id", len(labels))
            features = content.matrix("image/feature", (len(labels), self.means.shape[1]))
        kept = np.flatnonzero(labels >= 0)
        if len(kept) == len(labels):
            return features, labels, ids
        return features[kept], labels[kept], ids.take(kept)

    def images_kept(self) -> int:
        """Return the number of images whose features are kept; see :meth:`image_labels` for errors."""
        with self._stored() as content:
            return int((self._labels(content) >= 0).sum())

    def image_labels(self) -> tuple[NDArray[np.int64], Texts]:
        """Read the labels (N,) and ids (N,) of the images whose features are kept.

        Raises:
            InputError: The bank was made without ``keep_images``, its file is damaged, or another has taken its place.
        """
        with self._stored() as content:
            labels = self._labels(content)
            ids = content.texts("image/id", len(labels))
        kept = np.flatnonzero(labels >= 0)
        return labels[kept], ids if len(kept) == len(ids) else ids.take(kept)

    def image_blocks(self, rows: int = 4096) -> Iterator[NDArray[np.floating]]:
        """Yield the features of :meth:`images` in the same order, reading about ``rows`` images at a time."""
        with self._stored() as content:
            kept, start = self._labels(content) >= 0, 0
            for block in content.blocks("image/feature", (len(kept), self.means.shape[1]), rows):
                yield block[kept[start : start + len(block)]]
                start += len(block)

    def _stored(self) -> AbstractContextManager[Content]:
        """Open the file that the bank was read from, for its images."""
        if self.path is None or self._images is None:
            raise InputError(
                f"{self.name}: the bank keeps no image features; "
                + (
                    "it is made of class means, not of images"
                    if self.is_of_means
                    else "extract it again with `keep_images`"
                )
            )
        return stored(self.path, _KIND, self._images)

    def _labels(self, content: Content) -> NDArray[np.int64]:
        """Read the label of each image in the file; −1 if its class was dropped by :meth:`at_least`."""
        classes = class_names(content.text("class/name"))
        labels = read_labels(content, len(classes))
        position = {name: label for label, name in enumerate(self.classes)}
        return np.array([position.get(name, -1) for name in classes], dtype=np.int64)[labels]

    def write(self, path: str | Location, images: NewImages | None = None) -> FeatureBank:
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
        with atomic_hdf5(path, attrs | ({_UNKNOWN: " ".join(unknown)} if unknown else {})) as writer:
            writer.text("class/name", self.classes)
            for name, array in figures.items():
                if array is not None:
                    writer.array(name, array)
            write_skipped(writer, self.skipped)
            if images is not None:
                write_images(writer, images)
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


def write_images(writer: Writer, images: NewImages) -> None:
    """Store the features (N, D), labels (N,) and ids (N,) of images in a bank or a shard."""
    features, labels, ids = images
    writer.array("image/feature", features)
    writer.array("image/label", labels.astype(np.int64))
    writer.text("image/id", ids)


def read_labels(content: Content, n_classes: int) -> NDArray[np.int64]:
    """Read the labels (N,) of images from a bank or a shard; raise `ValueError` if one is of no class."""
    labels = content.array("image/label", "whole numbers", (None,)).astype(np.int64, copy=False)
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"image/label, row {row}: label {labels[row]}, but there are {n_classes} classes")
    return labels


def write_skipped(writer: Writer, skipped: Sequence[tuple[str, str]]) -> None:
    """Store unreadable images, as (id, reason), in a bank or a shard."""
    writer.text("skipped/id", [id_ for id_, _ in skipped])
    writer.text("skipped/reason", [reason for _, reason in skipped])


def read_skipped(content: Content) -> list[tuple[str, str]]:
    """Read what :func:`write_skipped` has stored."""
    ids = content.text("skipped/id")
    return list(zip(ids, content.text("skipped/reason", len(ids)), strict=True))
