"""The files below a folder of a store, from one recursive listing: their paths, sizes, versions and times of change."""

from __future__ import annotations

import os
import posixpath
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Address
from features.infrastructure.storage.local_copies import size_in, stamp_in, time_in
from features.infrastructure.storage.stores import answer

#: Pages of a web server that are read at the same time.
_READERS = 16


@dataclass(frozen=True, slots=True)
class FileState:
    """What a listing says of a file.

    Attributes:
        size: Bytes; −1 if the listing does not say.
        version: A hash or a number that another content does not have; empty if the listing does not say.
        modified: The last change in seconds since the epoch; 0 if the listing does not say.
    """

    size: int = -1
    version: str = ""
    modified: float = 0.0

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> FileState:
        """The state of a file as a store describes it."""
        size = size_in(info)
        return cls(-1 if size is None else size, str(stamp_in(info)), _seconds(time_in(info)))


@dataclass(frozen=True)
class Listing:
    """The files anywhere below a folder.

    Attributes:
        folder: Its address.
        paths: (N,) sorted POSIX paths below the folder.
        states: Path → what the listing says of the file.
    """

    folder: Address
    paths: Sequence[str]
    states: Mapping[str, FileState]

    @classmethod
    def of(cls, folder: Address) -> Listing:
        """List a folder: with one request of a thousand files each, or one for each page of a web server.

        Raises:
            InputError: The store does not answer, or denies access.
        """
        found = dict(_web_files(folder) if folder.is_web else _files(folder))
        return cls(folder, sorted(found), found)

    def below(self, folder: str) -> Sequence[str]:
        """Return the paths of the files anywhere below ``folder``, a POSIX path; empty for all."""
        if not folder:
            return self.paths
        start = bisect_left(self.paths, f"{folder}/")
        return self.paths[start : bisect_left(self.paths, f"{folder}0", start)]  # 0 is the next character after /

    def entries(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of everything directly in ``folder``, and whether it is a folder, in the order of names."""
        start = f"{folder}/" if folder else ""
        paths = self.below(folder)
        position = 0
        while position < len(paths):
            name, slash, _ = paths[position][len(start) :].partition("/")
            yield name, bool(slash)
            position = bisect_left(paths, f"{start}{name}0", position) if slash else position + 1


def shared_folder(paths: Sequence[str]) -> str:
    """Return the folder that all POSIX paths are in, with a slash at its end; empty if there is none.

    >>> shared_folder(["train/ant/1.jpg", "train/ape/1.jpg"])
    'train/'
    """
    start = os.path.commonprefix(list(paths))  # noqa: RUF071  # of characters, which end here at a slash
    return start[: start.rfind("/") + 1]


def _files(folder: Address) -> Iterator[tuple[str, FileState]]:
    """The path below the folder and the state of each file of a store."""

    def find(store: Any, path: str) -> tuple[str, dict[str, dict[str, Any]]]:
        return path.rstrip("/") + "/", store.find(path, detail=True)

    try:
        start, found = answer(folder.full, find)
    except FileNotFoundError:
        return
    for name, info in found.items():
        if info.get("type") == "file" and name != start:
            if not name.startswith(start):
                raise InputError(
                    f"{folder}: its store lists {name}, which is not below it; give the folder's own address"
                )
            yield name.removeprefix(start), FileState.of(info)


def _web_files(folder: Address) -> Iterator[tuple[str, FileState]]:
    """The path below the folder of each file that the pages of a web server link to; they tell no sizes."""
    seen, pages = {""}, [""]
    with ThreadPoolExecutor(_READERS) as readers:
        while pages:
            linked = [path for found in readers.map(lambda page: _links(folder, page), pages) for path in found]
            new = [path for path in dict.fromkeys(linked) if path.rstrip("/") not in seen]
            seen.update(path.rstrip("/") for path in new)
            yield from ((path, FileState()) for path in new if not path.endswith("/"))
            pages = [path for path in new if path.endswith("/")]


def _links(folder: Address, page: str) -> list[str]:
    """The paths below the folder that one of its pages links to; folders end with a slash."""
    address = folder / page if page else folder
    head, mark, query = address.full.partition("?")

    def links(store: Any, path: str) -> tuple[str, list[str]]:
        return path.partition("?")[0], store.ls(path, detail=False)

    try:
        start, entries = answer(f"{head.rstrip('/')}/{mark}{query}", links)
    except FileNotFoundError:
        return []
    below = [link.removeprefix(start) for link in entries if link.startswith(start)]
    names = [unquote(name, errors="surrogateescape") for name in below if name and "?" not in name]  # ?C=N sorts a page
    plain = [posixpath.normpath(name) + "/" * name.endswith("/") for name in names]
    return [page + name for name in plain if not name.startswith(("..", "/", "./"))]


def _seconds(time: Any) -> float:
    """A time as a store writes it, in seconds since the epoch; 0 for an unknown form."""
    if isinstance(time, str):
        try:
            time = (
                datetime.fromisoformat(time.replace("Z", "+00:00")) if "," not in time else parsedate_to_datetime(time)
            )
        except ValueError:
            return 0.0
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, (int, float)) else 0.0
