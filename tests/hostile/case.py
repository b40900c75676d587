"""One hostile input: what is on the disk, and what is right to make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """A hostile input.

    Attributes:
        name: What it is, in words; no two cases have one name.
        build: Writes its files below an empty folder; returns a dataset spec, or a function that reads the input in
            another way and returns class → images.
        right: Class → images, whether they can be read or not; a text for a refusal, which the line must hold; None if
            either a dataset or one line is right.
        unreadable: Number of images that cannot be read.
        commands: Commands that are given too, beside ``transfer inspect``.
    """

    name: str
    build: Callable[[Path], str | Callable[[], Mapping[str, int]]]
    right: Mapping[str, int] | str | None = None
    unreadable: int = 0
    commands: tuple[str, ...] = ()


#: All commands that take images.
IMAGE_COMMANDS = ("extract", "finetune", "predict", "duplicates", "try")

Cases = Iterator[Case]


def written(path: Path, content: bytes | str) -> Path:
    """Write a file and the folders above it; text as UTF-8, in which surrogates are bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return path


def plain(value: Any) -> Any:
    """A function that returns one value, for what is right of every member of a family."""
    return lambda *_: value
