"""The statistics of a part of a dataset, on disk: what a killed extraction goes on from, and what merging adds up.

One HDF5 file: attributes as in a feature bank, with ``schema="transfer.feature-shard"``, ``shard`` (the
number and the total), ``first`` and ``last`` (positions in the dataset), ``position`` (the next image to
read); ``class/name``, ``class/count``, ``class/sum``, ``class/square`` (C, D) and ``within/scatter`` (D, D),
all sums in float64; ``skipped/id``, ``skipped/reason``. Where the features of the images are kept, a complete
shard has ``image/feature``, ``image/label`` and ``image/id`` as a bank has; until then it has ``image/index``
(positions in the dataset), and the features lie in a plain file of float32 beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from features.bank import FeatureBank, Images, write_images
from features.class_statistics import ClassStatistics
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import read_attributes, read_text, whole_file, write_text

SCHEMA = "transfer.feature-shard"
SCHEMA_VERSION = 1


@dataclass(eq=False)
class Shard:
    """Class statistics of the images ``positions`` of a dataset, read up to ``position``.

    Attributes:
        attrs: What a bank of them says of itself.
        classes: (C,) class names of the whole dataset.
        positions: The part of the dataset.
        position: The next image to read.
        statistics: Of what has been read.
        skipped: What could not be read, as (id, reason).
        kept: (N,) positions of the images whose features are kept; None if none are.
        path: The file, if it was opened from one.
        keeps_images: Whether that file holds the features of the images.
    """

    attrs: Mapping[str, Any]
    classes: tuple[str, ...]
    positions: range
    position: int
    statistics: ClassStatistics
    skipped: list[tuple[str, str]] = field(default_factory=list)
    kept: list[int] | None = None
    path: Path | None = None
    keeps_images: bool = False

    @property
    def complete(self) -> bool:
        return self.position >= self.positions.stop

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C,) images of each class that have been read."""
        return self.statistics.counts.numpy()

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return str(self.path or self.attrs.get("dataset"))

    def write(self, path: Path, images: Images | None = None) -> None:
        """Write it, whole or not at all.

        Args:
            path: The file; one that is there is replaced.
            images: Features (N, D), labels (N,) and ids, to keep them in a complete shard.
        """
        attrs = dict(self.attrs) | {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "first": self.positions.start,
            "last": self.positions.stop,
            "position": self.position,
        }
        with whole_file(path, attrs) as file:
            write_text(file, "class/name", self.classes)
            file["class/count"] = self.statistics.counts.numpy()
            file["class/sum"] = self.statistics.sums.cpu().numpy()
            file["class/square"] = self.statistics.squares.cpu().numpy()
            file["within/scatter"] = self.statistics.scatter.cpu().numpy()
            write_text(file, "skipped/id", [id_ for id_, _ in self.skipped])
            write_text(file, "skipped/reason", [reason for _, reason in self.skipped])
            if images is not None:
                write_images(file, images)
            elif self.kept is not None:
                file["image/index"] = np.array(self.kept, dtype=np.int64)

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Read a shard, or an extraction that is not finished.

        Raises:
            InputError: There is no such file, or it is no shard of this version.
        """
        if not path.is_file():
            raise InputError(f"{path}: no such shard; make one with: transfer extract DATASET --shard 1/8 --out {path}")
        try:
            with h5py.File(path, "r") as file:
                attrs = read_attributes(file)
                if attrs.get("schema") != SCHEMA or attrs.get("schema_version") != SCHEMA_VERSION:
                    raise InputError(
                        f"{path}: an HDF5 file, but no shard of this version (schema is {attrs.get('schema')!r} "
                        f"{attrs.get('schema_version')}); expected {SCHEMA} {SCHEMA_VERSION}"
                    )
                sums = file["class/sum"][:]
                statistics = ClassStatistics(*sums.shape)
                statistics.counts.copy_(torch.from_numpy(file["class/count"][:]))
                statistics.sums.copy_(torch.from_numpy(sums))
                statistics.squares.copy_(torch.from_numpy(file["class/square"][:]))
                statistics.scatter.copy_(torch.from_numpy(file["within/scatter"][:]))
                return cls(
                    attrs=attrs,
                    classes=tuple(read_text(file, "class/name")),
                    positions=range(attrs["first"], attrs["last"]),
                    position=attrs["position"],
                    statistics=statistics,
                    skipped=list(zip(read_text(file, "skipped/id"), read_text(file, "skipped/reason"), strict=True)),
                    kept=file["image/index"][:].tolist() if "image/index" in file else None,
                    path=path,
                    keeps_images="image/feature" in file,
                )
        except InputError:
            raise
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: not a readable shard ({error}); extract it again") from error

    def bank(self) -> FeatureBank:
        """The feature bank of what has been read, in memory.

        Raises:
            InputError: A class has no readable image.
        """
        counts = self.counts
        if not counts.all():
            empty = int(np.argmin(counts))
            raise InputError(
                f"{self.attrs['dataset']}: class {self.classes[empty]!r} has no readable image "
                f"({int((counts == 0).sum())} such classes); mend or remove the class"
            )
        return FeatureBank(
            classes=self.classes,
            counts=counts,
            means=self.statistics.means(),
            variances=self.statistics.variances(),
            within_covariance=self.statistics.within_covariance(),
            attrs={name: value for name, value in self.attrs.items() if name not in _OWN},
            skipped=tuple(self.skipped),
        )


#: Attributes of a shard that a bank does not have.
_OWN = ("schema", "schema_version", "complete", "first", "last", "position", "shard")


class KeptFeatures:
    """The features of images as they come, in a plain file that survives the process.

    Args:
        path: The file.
        dim: Width D of the features.
        rows: How many rows of it count; what lies behind them was written after the last checkpoint.
    """

    def __init__(self, path: Path, dim: int, rows: int) -> None:
        self.path, self.dim = path, dim
        self._file = path.open("r+b" if rows else "w+b")
        self._file.truncate(rows * dim * 4)
        self._file.seek(0, os.SEEK_END)

    @staticmethod
    def rows(path: Path, dim: int) -> int:
        """How many whole rows a file has; 0 if it is not there."""
        return path.stat().st_size // (4 * dim) if path.exists() else 0

    def append(self, features: NDArray[np.float32]) -> None:
        self._file.write(np.ascontiguousarray(features, dtype=np.float32).data)

    def flush(self) -> None:
        """Return when everything is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def array(self) -> NDArray[np.float32]:
        """(N, D), read from the disk as it is used."""
        self.flush()
        rows = self.rows(self.path, self.dim)
        return np.memmap(self.path, np.float32, "r", shape=(rows, self.dim)) if rows else np.empty((0, self.dim), "f4")

    def close(self) -> None:
        self._file.close()
