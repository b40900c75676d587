"""Shards: the sums of a part of a dataset on disk, from which an extraction resumes and which a merge adds up.

A shard is one HDF5 file. It has the attributes of a feature bank, with ``schema="transfer.feature-shard"``, and
``shard`` (number and total), ``max_unreadable``, ``first`` and ``last`` (positions in the dataset) and ``position``
(of the next image to read). Its datasets are ``class/name``, ``class/count``, ``class/sum`` and ``class/square``
(C, D), ``within/scatter`` (D, D), all sums in float64, ``skipped/id`` and ``skipped/reason``. If image features are
kept, a complete shard has ``image/feature``, ``image/label`` and ``image/id`` like a bank. An incomplete one has
``image/index`` (positions in the dataset), and its features are in a plain float32 file beside it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank, Images, read_skipped, write_images, write_skipped
from features.class_statistics import ClassStatistics
from features.infrastructure.addresses import Location
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import atomic_hdf5, read_attributes, read_text, readable, write_text
from features.intensities import say_assumed

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "transfer.feature-shard"
SCHEMA_VERSION = 1


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
        kept: (N,) positions of the images whose features are kept; None if features are not kept.
        path: The file that it was read from; None for a shard in memory.
        keeps_images: Whether that file holds image features.
    """

    attrs: Mapping[str, Any]
    classes: tuple[str, ...]
    positions: range
    position: int
    statistics: ClassStatistics
    skipped: list[tuple[str, str]] = field(default_factory=list)
    assumed: Counter[str] = field(default_factory=Counter)
    kept: list[int] | None = None
    path: Location | None = None
    keeps_images: bool = False

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C,) number of images of each class that have been read."""
        return self.statistics.counts.numpy()

    @property
    def name(self) -> str:
        """The name of the shard in messages: its path, else its dataset spec."""
        return str(self.path or self.attrs.get("dataset"))

    @property
    def file(self) -> Location:
        """The file that a shard was read from."""
        assert self.path is not None
        return self.path

    @property
    def _assumptions(self) -> dict[str, str]:
        """The attribute that holds what was assumed; none if nothing was."""
        return {"assumed": json.dumps(self.assumed)} if self.assumed else {}

    def say_assumed(self) -> None:
        """Say what was assumed about intensities."""
        images, recorded = int(self.counts.sum()), "; the bank's attribute assumed records it"
        say_assumed(self.attrs["dataset"], self.assumed, images, recorded)

    def write(self, path: Location, images: Images | None = None) -> None:
        """Write the shard, completely or not at all, with ``images`` if it is complete and keeps them."""
        attrs = dict(self.attrs) | {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "first": self.positions.start,
            "last": self.positions.stop,
            "position": self.position,
            **self._assumptions,
        }
        with atomic_hdf5(path, attrs) as file:
            write_text(file, "class/name", self.classes)
            for name, held in _sums(self.statistics).items():
                file[name] = held.cpu().numpy()
            write_skipped(file, self.skipped)
            if images is not None:
                write_images(file, images)
            elif self.kept is not None:
                file["image/index"] = np.array(self.kept, dtype=np.int64)

    @classmethod
    def open(cls, path: Location) -> Shard:
        """Read a shard, complete or not; raise `InputError` if the file is missing or no shard of this version."""
        import torch

        if not path.is_file():
            raise InputError(f"{path}: no such shard; make one with: transfer extract DATASET --shard 1/8 --out {path}")
        with readable(path, "shard") as file:
            attrs = read_attributes(file)
            if attrs.get("schema") != SCHEMA or attrs.get("schema_version") != SCHEMA_VERSION:
                raise InputError(
                    f"{path}: an HDF5 file, but not a shard of this version (schema is {attrs.get('schema')!r} "
                    f"{attrs.get('schema_version')}); expected {SCHEMA} {SCHEMA_VERSION}"
                )
            statistics = ClassStatistics(*file["class/sum"].shape)
            for name, held in _sums(statistics).items():
                held.copy_(torch.from_numpy(file[name][:]))
            return cls(
                attrs=attrs,
                classes=tuple(read_text(file, "class/name")),
                positions=range(attrs["first"], attrs["last"]),
                position=attrs["position"],
                statistics=statistics,
                skipped=read_skipped(file),
                assumed=Counter(json.loads(attrs.pop("assumed", "{}"))),
                kept=file["image/index"][:].tolist() if "image/index" in file else None,
                path=path,
                keeps_images="image/feature" in file,
            )

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


def _sums(statistics: ClassStatistics) -> dict[str, Tensor]:
    """Return the tensors of class statistics by their names in a shard."""
    return {
        "class/count": statistics.counts,
        "class/sum": statistics.sums,
        "class/square": statistics.squares,
        "within/scatter": statistics.scatter,
    }


#: Attributes of a shard that a bank does not have.
_OWN = ("schema", "schema_version", "complete", "first", "last", "position", "shard", "max_unreadable")
