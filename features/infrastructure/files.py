"""Files that a command writes: whole or not at all, and nothing that is there is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.infrastructure.errors import InputError


def check_new(
    files: Mapping[str, str | Path | None], *, read: Iterable[str | Path] = (), overwrite: bool = False
) -> None:
    """Refuse files that cannot be written, are there already, are two in one, or are what the command reads.

    Args:
        files: Each option that names a file to write, such as ``--out``, and what it names; None for nothing.
        read: Files that the command reads: never replaced.
        overwrite: Replace others that are there.

    Raises:
        InputError: One of them is to be refused; no file has been changed.
    """
    taken = {Path(path).resolve(): "" for path in read}
    for option, name in files.items():
        if name is None:
            continue
        path = Path(name)
        other = taken.setdefault(path.resolve(), option)
        if not other:
            raise InputError(f"{option} {path}: would replace what is read; name another file")
        if other != option:
            raise InputError(f"{option} {path}: is the file of {other} too; name another one")
        if path.is_file() and not overwrite:
            raise InputError(f"{option} {path}: is there already; name another file or give --overwrite")
    for option, name in files.items():
        if name is not None:
            check_writable(Path(name), option)


def check_writable(path: Path, option: str = "--out") -> None:
    """Refuse a place that cannot be written to before the work, not after it.

    Raises:
        InputError: It is a directory, or its directory cannot be made or written to.
    """
    if path.is_dir():
        raise InputError(f"{option} {path}: is a directory; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{option} {path}: its directory cannot be made ({error.strerror}); name another file"
        ) from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{option} {path}: {path.parent} cannot be written to; name another file")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; the file takes its name once it is complete and on the disk.

    Folders that are missing are made. If the block raises, what was there before stays. The name aside is always the
    same, so that a later run overwrites what a killed process left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all; a name that is not UTF-8 keeps the bytes that the disk has."""
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
