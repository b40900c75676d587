"""Images in a store or on a web server, read through fsspec."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features.changes import last_change
from features.image_sources import ChainedImages, FileImages, ImageSource, UnreadableImage, read_image
from features.infrastructure.console import say_once
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Address, Location
from features.infrastructure.storage.listings import FileState, Listing, shared_folder
from features.infrastructure.storage.stores import Unanswered

#: Images that a process fetches at the same time.
READERS = 16


class AddressImages:
    """Images at N paths below the folder ``root`` of a store.

    ``states`` are what a listing says of each image; without them, the folder that all images are in is listed when
    they are first needed. A web server lists none: then a changed image is not noticed, and a line says so.
    """

    def __init__(self, root: Address, paths: Sequence[str], states: Sequence[FileState] | None = None) -> None:
        self.root, self.paths, self._states = root, paths, states
        self._ahead: dict[int, Future[bytes]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Futures are of one process, and workers need no states.
        return {**self.__dict__, "_ahead": {}, "_states": None}

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        """Decode an image; raise `InputError` if the store does not answer, which is no fault of the image."""
        ahead = self._ahead.pop(index, None)
        try:
            encoded = self.content(index) if ahead is None else ahead.result()
        except Unanswered:
            raise
        except (InputError, OSError) as error:
            missing = isinstance(error, FileNotFoundError)
            raise UnreadableImage(f"there is no file {self.address(index)}" if missing else str(error)) from error
        return read_image(BytesIO(encoded), min_side)

    def fetch(self, indices: Sequence[int]) -> None:
        """Begin to fetch images that are read next, several at a time."""
        self._ahead = {index: _readers(os.getpid()).submit(self.content, index) for index in dict.fromkeys(indices)}

    def address(self, index: int) -> Address:
        """Return the address of an image."""
        return self.root / self.paths[index]

    def content(self, index: int, start: int | None = None, end: int | None = None) -> bytes:
        """Return the file of an image, or a part of it."""
        return self.address(index).read_bytes(start, end)

    def take(self, indices: NDArray[np.int64]) -> AddressImages:
        states = None if self._states is None else [self._states[i] for i in indices]
        return AddressImages(self.root, [self.paths[i] for i in indices], states)

    @property
    def states(self) -> Sequence[FileState]:
        """(N,) what a listing says of each image; size −1 if it is not there, or nothing is known of it."""
        if self._states is None:
            if self.root.is_web:
                self._states = [FileState()] * len(self.paths)
            else:
                common = shared_folder(self.paths).rstrip("/")
                listed = Listing.of(self.root / common if common else self.root).states
                inside = len(common) + 1 if common else 0
                self._states = [listed.get(path[inside:], FileState()) for path in self.paths]
        return self._states

    def fingerprint(self) -> bytes:
        if self.root.is_web:
            say_once(f"{self.root}: a web server does not list sizes or dates: a changed image would not be noticed")
        return "\0".join(f"{state.size} {state.version}" for state in self.states).encode()

    def modified(self) -> float:
        return last_change(state.modified for state in self.states)


def files_at(root: Location, paths: Sequence[str], listing: Listing | None = None) -> FileImages | AddressImages:
    """Return the images at N paths below a directory or an address, of which there may be a listing."""
    if not isinstance(root, Address):
        return FileImages(root, paths)
    return AddressImages(root, paths, None if listing is None else [listing.states[path] for path in paths])


def fetch(source: ImageSource, indices: Sequence[int]) -> None:
    """Begin to fetch the images at ``indices`` if they are in a store; nothing is done for others."""
    if isinstance(source, AddressImages):
        source.fetch(indices)
    elif isinstance(source, ChainedImages):
        parts = np.searchsorted(source.starts, indices, side="right") - 1
        for part in np.unique(parts).tolist():
            fetch(source.sources[part], (np.asarray(indices)[parts == part] - source.starts[part]).tolist())


@cache
def _readers(process: int) -> ThreadPoolExecutor:
    """The threads of a process, whose number keeps those of a parent from being taken over by a fork."""
    return ThreadPoolExecutor(READERS)
