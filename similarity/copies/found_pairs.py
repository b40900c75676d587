"""Pairs of copies that a search has found so far, kept on the disk so that a killed search goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5.content import stored
from features.infrastructure.hdf5.opening import atomic_hdf5

SCHEMA = "transfer.found-pairs"
#: What messages call the file.
_KIND = "unfinished search for copies"
#: Seconds between two writings.
_EVERY = 60.0


@dataclass(frozen=True)
class Pairs:
    """P pairs of images that are copies of each other.

    Attributes:
        first, second: (P,) positions of the images; first < second, and each pair stands once.
        cosine: (P,) their cosine similarity.
        next_cosine: The highest similarity below the threshold that was seen.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]
    next_cosine: float = -1.0


@dataclass(eq=False)
class FoundPairs:
    """The pairs of a search, to which the neighbours of one block of images after the other are added.

    Attributes:
        threshold: Least cosine similarity of a pair.
        path: A file for the pairs while the search runs; None keeps them in memory alone.
        key: Text that says which search it is: a file of another one is not gone on with.
        position: The first image whose neighbours are not added yet.
    """

    threshold: float
    path: Path | None = None
    key: str = ""
    position: int = 0
    _first: list[NDArray[np.int64]] = field(default_factory=list)
    _second: list[NDArray[np.int64]] = field(default_factory=list)
    _cosine: list[NDArray[np.float32]] = field(default_factory=list)
    _next: float = -1.0
    _saved: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            with stored(self.path, _KIND) as content:
                found = content.attributes
                if (found.get("schema"), found.get("key")) != (SCHEMA, self.key):
                    raise InputError(f"{self.path}: of another search")
                self._first = [content.array("first", "whole numbers", (None,))]
                self._second = [content.array("second", "whole numbers", (None,))]
                self._cosine = [content.array("cosine", "floats", (None,))]
                self.position, self._next = int(found["position"]), float(found["next_cosine"])
            console.print(f"{self.path}: the search goes on after {self.position:,} images")
        except InputError as error:
            console.print(f"{error}; the search starts from the first image")
            self.position, self._first, self._second, self._cosine = 0, [], [], []

    def add(self, start: int, cosine: NDArray[np.float32], found: NDArray[np.int64]) -> None:
        """Add the (B, K) similarities and positions of the neighbours of the images from ``start`` on."""
        row, column = np.nonzero(cosine >= self.threshold)
        one, other = start + row, found[row, column]
        self._first.append(np.minimum(one, other))
        self._second.append(np.maximum(one, other))
        self._cosine.append(cosine[row, column])
        self._next = max(self._next, float(cosine[cosine < self.threshold].max(initial=-1.0)))
        self.position = start + len(cosine)
        if self.path is not None and time.monotonic() - self._saved >= _EVERY:
            self._write(self.path)

    def pairs(self, images: int) -> Pairs:
        """Return each pair once, of so many images."""
        first, second, cosine = self._joined()
        _, once = np.unique(first * images + second, return_index=True)
        return Pairs(first[once], second[once], cosine[once], self._next)

    def _write(self, path: Path) -> None:
        first, second, cosine = self._joined()
        attrs = {"schema": SCHEMA, "key": self.key, "position": self.position, "next_cosine": self._next}
        with atomic_hdf5(path, attrs) as writer:
            for name, values in (("first", first), ("second", second), ("cosine", cosine)):
                writer.array(name, values)
        self._first, self._second, self._cosine = [first], [second], [cosine]
        self._saved = time.monotonic()

    def _joined(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        none = np.empty(0, dtype=np.int64)
        first, second = (np.concatenate([none, *parts]) for parts in (self._first, self._second))
        return first, second, np.concatenate([np.empty(0, dtype=np.float32), *self._cosine])
