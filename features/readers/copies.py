"""Images of a dataset that are equal: files with the same bytes, or arrays with the same pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.image_sources import ArrayImages, ChainedImages, FileImages, ImageSource

#: Bytes from the middle of a file that are compared before the whole file is.
_GLANCE = 4096
#: Files that are read at the same time.
_READERS = 16


def equal_images(source: ImageSource) -> NDArray[np.int64]:
    """Number the images of a source so that equal images have one number.

    Files are compared by size, then by some bytes, and only then by their content, so that few are read whole. Images
    of a source without files or pixels at hand count as different.

    Returns:
        (N,) int64, 0 to the number of different images − 1.
    """
    keys = np.array(list(_keys(source)), dtype=object)
    _, numbers = np.unique(keys.astype(str), return_inverse=True)
    return numbers.astype(np.int64)


def _keys(source: ImageSource, start: int = 0) -> Iterator[str]:
    """A text for each image, the same for equal images; ``start`` numbers the images that have no other."""
    if isinstance(source, ChainedImages):
        for part, first in zip(source.sources, source.starts, strict=False):
            yield from _keys(part, start + int(first))
    elif isinstance(source, ArrayImages):
        for pixels in source.pixels:
            yield hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
    elif isinstance(source, FileImages):
        yield from _file_keys([Path(source.root) / path for path in source.paths], start)
    else:
        yield from (f"#{start + i}" for i in range(len(source)))


def _file_keys(files: list[Path], start: int) -> list[str]:
    keys = [f"#{start + i}" for i in range(len(files))]
    alike = [(i, str(size)) for i, size in enumerate(map(_size, files)) if size > 0]
    with ThreadPoolExecutor(_READERS) as readers:
        for look in (_glance, _content):
            alike = _several(alike)
            found = readers.map(look, [files[i] for i, _ in alike])
            alike = [(i, f"{key} {seen}") for (i, key), seen in zip(alike, found, strict=True) if seen is not None]
    for i, key in _several(alike):
        keys[i] = key
    return keys


def _several(alike: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The files whose key another file has too."""
    if not alike:
        return []
    _, number, count = np.unique([key for _, key in alike], return_inverse=True, return_counts=True)
    return [one for one, several in zip(alike, count[number] > 1, strict=True) if several]


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except (OSError, ValueError):  # reading the image reports it
        return -1


def _glance(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, (_size(file) - _GLANCE) // 2))
            return hashlib.sha256(opened.read(_GLANCE)).hexdigest()
    except OSError:
        return None


def _content(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            digest = hashlib.sha256()
            while block := opened.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError:
        return None
