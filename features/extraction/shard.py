"""Shards: the sums of a part of a dataset on disk, from which an extraction resumes and which a merge adds up.

A shard is one HDF5 file. It has the attributes of a feature bank, with ``schema="transfer.feature-shard"``, and
``shard`` (number and total), ``max_unreadable``, ``first`` and ``last`` (positions in the dataset) and ``position``
(of the next image to read). Its datasets are ``class/name``, ``class/count``, ``class/sum`` and ``class/square``
(C, D), ``within/scatter`` (D, D), all sums in float64, ``skipped/id`` and ``skipped/reason``. If image features are
kept, a complete shard has ``image/feature``, ``image/label`` and ``image/id`` like a bank. An incomplete one has
``image/index`` (positions in the dataset) and the attribute ``features_crc32``, and its features are in a plain float32
file beside it.
"""

from __future__ import annotations

import json
import re
import shlex
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank, NewImages, read_skipped, write_images, write_skipped
from features.bank_checks import check_counts, check_schema, fault_of_covariance, plain_attributes
from features.class_statistics import ClassStatistics
from features.infrastructure.disk.held_files import HeldFile
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5.content import Content, stored
from features.infrastructure.hdf5.opening import atomic_hdf5
from features.infrastructure.storage.addresses import Location
from features.intensities import say_assumed

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "transfer.feature-shard"
SCHEMA_VERSION = 1
#: What messages call the file.
_KIND = "shard"
#: The number of a shard and of how many.
_NUMBER = re.compile("[0-9]{1,9}/[0-9]{1,9}")


@dataclass(eq=False)
class Shard:
    """Class statistics of a part of a dataset.

    Attributes:
        attrs: Attributes of the bank that is made of it.
        classes: (C,) class names of the whole dataset.
        positions: The positions of its images in the dataset.
        position: The position of the next image to read.
        statistics: Statistics of the images that have been read.
        skipped: Unreadable images, as (id, reason).
        assumed: Number of images by what was assumed about their intensities: see :mod:`features.intensities`.
        kept: (N,) int64 positions of the images whose features are kept; None if features are not kept.
        path: The file that it was read from; None for a shard in memory.
        features_crc32: CRC-32 of the file of features that are kept, while the shard is not complete.
    """

    attrs: Mapping[str, Any]
    classes: tuple[str, ...]
    positions: range
    position: int
    statistics: ClassStatistics
    skipped: list[tuple[str, str]] = field(default_factory=list)
    assumed: Counter[str] = field(default_factory=Counter)
    kept: array[int] | None = None
    path: Location | None = None
    features_crc32: int | None = None
    #: The file with the features of images; None if it has none.
    _images: HeldFile | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C,) number of images of each class that have been read."""
        return self.statistics.counts.numpy()

    @property
    def name(self) -> str:
        """The name of the shard in messages: its path, else its dataset spec."""
        return str(self.path or self.attrs.get("dataset"))

    @property
    def _assumptions(self) -> dict[str, str]:
        """The attribute that holds what was assumed; none if nothing was."""
        return {"assumed": json.dumps(self.assumed)} if self.assumed else {}

    def say_assumed(self) -> None:
        """Say what was assumed about intensities."""
        images, recorded = int(self.counts.sum()), "; the bank's attribute assumed records it"
        say_assumed(self.attrs["dataset"], self.assumed, images, recorded)

    def write(self, path: Location, images: NewImages | None = None) -> None:
        """Write the shard, completely or not at all, with ``images`` if it is complete and keeps them."""
        attrs = dict(self.attrs) | {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "first": self.positions.start,
            "last": self.positions.stop,
            "position": self.position,
            **self._assumptions,
        }
        if images is None and self.kept is not None:
            attrs["features_crc32"] = self.features_crc32
        with atomic_hdf5(path, attrs) as writer:
            writer.text("class/name", self.classes)
            for name, held in _sums(self.statistics).items():
                writer.array(name, held.cpu().numpy())
            write_skipped(writer, self.skipped)
            if images is not None:
                write_images(writer, images)
            elif self.kept is not None:
                writer.array("image/index", np.array(self.kept, dtype=np.int64))

    @classmethod
    def open(cls, path: Location) -> Shard:
        """Read a shard, complete or not; raise `InputError` if the file is missing or no shard of this version."""
        if not path.is_file():
            make = f"transfer extract DATASET --shard 1/8 --out {shlex.quote(str(path))}"
            raise InputError(f"{path}: no such shard; make one with: {make}")
        with stored(path, _KIND) as content:
            advice = "make a shard with: transfer extract DATASET --shard 1/8 --out SHARD.h5"
            check_schema(path, _KIND, content.attributes, SCHEMA, SCHEMA_VERSION, advice=advice)
            attrs = plain_attributes(content.attributes)
            if missing := [name for name in _NEEDED if name not in attrs]:
                raise ValueError(f"it has no attribute {missing[0]}")
            classes = tuple(content.text("class/name"))
            shard = cls(
                attrs=attrs,
                classes=classes,
                positions=range(attrs["first"], attrs["last"]),
                position=attrs["position"],
                statistics=_statistics(path, content, classes),
                skipped=read_skipped(content),
                assumed=_assumed(attrs.pop("assumed", "{}")),
                kept=_kept(content) if "image/index" in content else None,
                path=path,
                features_crc32=attrs.pop("features_crc32", None),
                _images=content.hold() if "image/feature" in content else None,
            )
            shard._check()
            return shard

    @property
    def keeps_images(self) -> bool:
        """Whether its file holds image features."""
        return self._images is not None

    def stored_images(self) -> AbstractContextManager[Content]:
        """Open its file, for the images; raise `InputError` if another has taken its place."""
        assert self.path is not None
        return stored(self.path, _KIND, self._images)

    def _check(self) -> None:
        """Raise `ValueError` if what was read does not agree with itself."""
        read, first, last = int(self.counts.sum()), self.positions.start, self.positions.stop
        done = self.position - first
        if not 0 <= first <= self.position <= last:
            raise ValueError(f"its positions are {first}, {self.position} and {last}")
        if read + len(self.skipped) != done:
            raise ValueError(f"it counts {read} images and {len(self.skipped)} unreadable ones of {done}")
        if self.kept is not None and len(self.kept) != read:
            raise ValueError(f"image/index holds {len(self.kept)} positions; expected {read}")
        if "shard" in self.attrs and not _NUMBER.fullmatch(self.attrs["shard"]):
            raise ValueError(f"its attribute shard is {self.attrs['shard']!r}; expected 1/8, for example")

    def bank(self) -> FeatureBank:
        """Return the bank of the images that have been read, in memory; raise `InputError` if a class has none."""
        counts = self.counts
        if not counts.all():
            empty = int(np.argmin(counts))
            raise InputError(
                f"{self.attrs['dataset']}: class {self.classes[empty]!r} has no readable image "
                f"({int((counts == 0).sum())} such classes); repair or remove the class"
            )
        return FeatureBank(
            classes=self.classes,
            counts=counts,
            means=self.statistics.means(),
            variances=self.statistics.variances(),
            within_covariance=self.statistics.within_covariance(),
            attrs={name: value for name, value in self.attrs.items() if name not in _OWN} | self._assumptions,
            skipped=tuple(self.skipped),
        )


def _statistics(path: Location, content: Content, classes: Sequence[str]) -> ClassStatistics:
    """Read the sums; raise `ValueError` if they are none."""
    import torch

    n_classes, width = len(classes), content.array("within/scatter", "floats", (None, None)).shape[1]
    shapes = {"class/count": (n_classes,), "within/scatter": (width, width)}
    statistics = ClassStatistics(0, 0)
    read: dict[str, NDArray[Any]] = {}
    for name in _sums(statistics):
        kind: Literal["floats", "whole numbers"] = "whole numbers" if name == "class/count" else "floats"
        found = content.array(name, kind, shapes.get(name, (n_classes, width)))
        read[name] = found.astype(np.int64 if name == "class/count" else np.float64, copy=False)
        if not np.isfinite(read[name]).all():
            raise ValueError(f"{name} holds NaN or infinity")
    check_counts(str(path), classes, read["class/count"], least=0)
    if (read["class/square"] < 0).any():
        raise ValueError("class/square holds a negative sum of squares")
    if fault := fault_of_covariance(read["within/scatter"]):
        raise ValueError(f"within/scatter {fault}")
    statistics.counts, statistics.sums, statistics.squares, statistics.scatter = map(torch.from_numpy, read.values())
    return statistics


def _assumed(text: str) -> Counter[str]:
    """Read what was assumed; raise `ValueError` if it is something else."""
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(count, int) for count in found.values()):
        raise ValueError(f"its attribute assumed is {text!r}")
    return Counter(found)


def _kept(content: Content) -> array[int]:
    """Read the positions of images; raise `ValueError` if they do not ascend."""
    found = content.array("image/index", "whole numbers", (None,))
    if len(found) and (found[0] < 0 or (np.diff(found) <= 0).any()):
        raise ValueError("image/index holds positions that do not ascend")
    return array("q", found.astype(np.int64).tobytes())


def _sums(statistics: ClassStatistics) -> dict[str, Tensor]:
    """Return the tensors of class statistics by their names in a shard."""
    return {
        "class/count": statistics.counts,
        "class/sum": statistics.sums,
        "class/square": statistics.squares,
        "within/scatter": statistics.scatter,
    }


#: Attributes that every shard has.
_NEEDED = ("dataset", "created", "first", "last", "position")
#: Attributes of a shard that a bank does not have.
_OWN = ("schema", "schema_version", "complete", "first", "last", "position", "shard", "max_unreadable")
