"""Pairs of copies that a search has found so far, kept on the disk so that a killed search resumes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5.content import stored
from features.infrastructure.hdf5.opening import atomic_hdf5
from similarity.copies.local_geometry import reach

SCHEMA = "transfer.found-pairs"
#: Seconds between two writings, at least, and in units of what the last one took.
_EVERY, _COSTS = 60.0, 20


@dataclass(frozen=True)
class Pairs:
    """P pairs of images that are copies of each other.

    Attributes:
        first, second: (P,) positions of the images; first < second, and each pair stands once.
        cosine: (P,) their cosine similarity.
        next_cosine: The highest similarity below the threshold that was seen, −1 if none was.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]
    next_cosine: float = -1.0


@dataclass(eq=False)
class FoundPairs:
    """The pairs of a search, to which the neighbours of one block of images after the other are added.

    Attributes:
        threshold: Least cosine similarity of a pair, but for round-off.
        number: Number of neighbours that are searched of each image.
        images: Number N of images.
        path: A file for the pairs while the search runs; None keeps them in memory alone.
        key: Text that says which search it is: the file of another search is not resumed.
        position: The first image whose neighbours are not added yet.
    """

    threshold: float
    number: int
    images: int
    path: Path | None = None
    key: str = ""
    position: int = 0
    _parts: list[_Part] = field(default_factory=list)
    _saved: float = field(default_factory=time.monotonic)
    _cost: float = 0.0

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            self._resume(self.path)

    def add(self, images: NDArray[np.int64], cosine: NDArray[np.float32], found: NDArray[np.int64]) -> None:
        """Add the (B, K) similarities and positions of the neighbours of (B,) images."""
        are_copies = reach(cosine, self.threshold)
        row, column = np.nonzero(are_copies)
        one, other = images[row], found[row, column]
        following = float(cosine[~are_copies].max(initial=-1.0))
        full = images[np.bincount(row, minlength=len(images)) >= self.number]
        self._parts.append(_Part(np.minimum(one, other), np.maximum(one, other), cosine[row, column], full, following))
        self.position = int(images[-1]) + 1
        if self.path is not None and time.monotonic() - self._saved >= max(_EVERY, _COSTS * self._cost):
            self._write(self.path)

    def pairs(self) -> Pairs:
        """Return each pair once."""
        found = _concatenated(self._parts)
        _, once = np.unique(found.first * self.images + found.second, return_index=True)
        return Pairs(found.first[once], found.second[once], found.cosine[once], found.next_cosine)

    def full(self) -> NDArray[np.int64]:
        """Return the images all of whose neighbours are copies, so that they may have more copies."""
        return _concatenated(self._parts).full

    def join(self, others: FoundPairs) -> None:
        """Add the pairs of another search."""
        self._parts += others._parts

    def _resume(self, path: Path) -> None:
        try:
            with stored(path, "unfinished search for copies") as content:
                found = content.attributes
                same = (found.get("schema"), found.get("key")) == (SCHEMA, self.key)
                first, second, full = (content.array(name, "whole numbers", (None,)) for name in _ARRAYS[:3])
                cosine = content.array("cosine", "floats", (None,))
                position, following = int(found["position"]), float(found["next_cosine"])
                if same and not (0 <= position <= self.images and _are_pairs(first, second, cosine, self.images)):
                    raise ValueError(f"images that are not among {self.images:,}")
        except InputError:
            console.print(f"{path}: damaged, or no unfinished search for copies; the search starts anew")
            return
        if not same:
            console.print(f"{path}: of another search for copies; this one starts anew")
            return
        self.position, self._parts = position, [_Part(first, second, cosine, full, following)]
        console.print(f"{path}: resuming after {position:,} images")

    def _write(self, path: Path) -> None:
        began = time.monotonic()
        found = _concatenated(self._parts)
        attrs = {"schema": SCHEMA, "key": self.key, "position": self.position, "next_cosine": found.next_cosine}
        with atomic_hdf5(path, attrs) as writer:
            for name in _ARRAYS:
                writer.array(name, getattr(found, name))
        self._parts, self._saved = [found], time.monotonic()
        self._cost = self._saved - began


class _Part(NamedTuple):
    """What one block or several gave: pairs, one or two times each, and the images that are full."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]
    full: NDArray[np.int64]
    next_cosine: float


#: The arrays of a part.
_ARRAYS = ("first", "second", "full", "cosine")


def _are_pairs(first: NDArray[np.int64], second: NDArray[np.int64], cosine: NDArray[np.float32], images: int) -> bool:
    """Whether the arrays of a file have one length, and their pairs are of so many images."""
    if not len(first) == len(second) == len(cosine):
        return False
    return bool(np.all((first >= 0) & (first < second) & (second < images)))


def _concatenated(parts: list[_Part]) -> _Part:
    none = np.empty(0, np.int64)
    parts = [_Part(none, none, np.empty(0, np.float32), none, -1.0), *parts]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return _Part(**arrays, next_cosine=max(part.next_cosine for part in parts))
