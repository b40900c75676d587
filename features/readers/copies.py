"""Images of a dataset that are equal: files with the same bytes, or arrays with the same pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.address_images import AddressImages
from features.image_sources import ArrayImages, FileImages, ImageSource
from features.infrastructure.console import say_once
from features.infrastructure.errors import InputError
from features.infrastructure.storage.stores import Unanswered

#: Bytes from the middle of a file that are compared before the whole file is.
_GLANCE = 4096
#: Files that are read at the same time.
_READERS = 16


def equal_images(source: ImageSource) -> NDArray[np.int64]:
    """Number the images of a source so that equal images have one number.

    Files are compared by size, then by some bytes, and only then by their content, so that few are read whole. Images
    of a source without files or pixels at hand count as different, and so do those of a web server, which lists no
    sizes; a line says so.

    Returns:
        (N,) int64, 0 to the number of different images − 1.
    """
    keys = np.array(list(_keys(source)), dtype=object)
    _, numbers = np.unique(keys.astype(str), return_inverse=True)
    return numbers.astype(np.int64)


def _keys(source: ImageSource) -> Iterator[str]:
    """A text for each image, the same for equal images."""
    if isinstance(source, ArrayImages):
        for pixels in source.pixels:
            yield hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
    elif isinstance(source, FileImages):
        files = [Path(source.root) / path for path in source.paths]
        looks = (lambda i: _glance(files[i]), lambda i: _content(files[i]))
        yield from _file_keys(source.sizes().tolist(), looks)
    elif isinstance(source, AddressImages):
        if source.root.is_web:
            say_once(f"{source.root}: a web server does not list sizes: its images are not compared for copies")
        sizes = [state.size for state in source.states]
        yield from _file_keys(sizes, (partial(_stored_glance, source), partial(_stored, source)))
    else:
        yield from (f"#{i}" for i in range(len(source)))


def _file_keys(sizes: Sequence[int], looks: Sequence[Callable[[int], str | None]]) -> list[str]:
    """The keys of files of these sizes; ``looks`` compare those that are alike by then, by their positions."""
    keys = [f"#{i}" for i in range(len(sizes))]
    alike = [(i, str(size)) for i, size in enumerate(sizes) if size > 0]
    with ThreadPoolExecutor(_READERS) as readers:
        for look in looks:
            alike = _several(alike)
            found = readers.map(look, [i for i, _ in alike])
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


def _glance(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, (os.fstat(opened.fileno()).st_size - _GLANCE) // 2))
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


def _stored_glance(source: AddressImages, index: int) -> str | None:
    size = source.states[index].size
    first = max(0, (size - _GLANCE) // 2)
    return _stored(source, index, first, min(size, first + _GLANCE))


def _stored(source: AddressImages, index: int, start: int | None = None, end: int | None = None) -> str | None:
    try:
        return hashlib.sha256(source.content(index, start, end)).hexdigest()
    except Unanswered:
        raise
    except (InputError, OSError):  # reading the image reports it
        return None
