"""Files that a command writes: completely or not at all, and never over another file unasked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.infrastructure.errors import InputError


def check_new(
    files: Mapping[str, str | Path | None], *, read: Iterable[str | Path] = (), overwrite: bool = False
) -> None:
    """Check that a command can write its files, before its work begins.

    ``files`` maps how messages call a file, mostly its argument in backticks, to its path; None for no file. Files in
    ``read`` are never replaced; other files are replaced only with ``overwrite``.

    Raises:
        InputError: A file exists, is named twice, is read by the command, or cannot be written.
    """
    taken = {Path(path).resolve(): "" for path in read}
    for argument, name in files.items():
        if name is None:
            continue
        path = Path(name)
        other = taken.setdefault(path.resolve(), argument)
        if not other:
            raise InputError(f"{argument} {path}: would replace what is read; name another file")
        if other != argument:
            raise InputError(f"{argument} {path}: is the file of {other} too; name another one")
        if path.is_file() and not overwrite:
            raise InputError(f"{argument} {path}: is there already; name another file or give `overwrite`")
    for argument, name in files.items():
        if name is not None:
            check_writable(Path(name), argument)


def check_ending(path: str | Path, endings: Collection[str], argument: str = "`out`") -> None:
    """Raise `InputError` if the name of a file, which messages call ``argument``, has none of the ``endings``.

    A directory is left to :func:`check_writable`, which says more about it.
    """
    if Path(path).suffix not in endings and not Path(path).is_dir():
        raise InputError(f"{argument} {path}: expected a file name that ends in {' or '.join(endings)}")


def check_writable(path: Path, argument: str = "`out`") -> None:
    """Check that a file, which messages call ``argument``, can be written; make its directory if that is missing.

    Raises:
        InputError: The path is a directory, or its parent directory cannot be made or written to.
    """
    if path.is_dir():
        raise InputError(f"{argument} {path}: is a directory; name a file in it")
    _check_parent(path, argument)


def check_new_folder(
    path: Path, holds: Collection[str], argument: str = "`out`", *, read: Iterable[str | Path] = (), overwrite: bool
) -> None:
    """Check that a command can write a folder of the files ``holds``, before its work begins.

    An empty folder is filled. One with such files is replaced only with ``overwrite``, one with any other file never.

    Raises:
        InputError: There is such a folder, a file, or the working directory; it holds what is read, or cannot be
            written.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{argument} {path}: is a file; name a folder")
    if path.resolve() == Path.cwd():
        raise InputError(f"{argument} {path}: is the working directory; name a folder in it")
    there = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if others := [name for name in there if name not in holds]:
        raise InputError(f"{argument} {path}: holds other files, such as {others[0]}; name another folder")
    if any(Path(one).resolve().is_relative_to(path.resolve()) for one in read):
        raise InputError(f"{argument} {path}: would replace what is read; name another folder")
    if there and not overwrite:
        raise InputError(f"{argument} {path}: is there already; name another folder or give `overwrite`")
    _check_parent(path, argument)


def _check_parent(path: Path, argument: str) -> None:
    """Make the directory of a path if it is missing, and check that it can be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"its directory cannot be made ({error.strerror})"
        raise InputError(f"{argument} {path}: {fault}; name another file") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{argument} {path}: {path.parent} cannot be written to; name another file")


#: How text files are encoded: UTF-8, in which paths that are not UTF-8 keep their bytes.
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; the file takes its name once it is complete and on the disk.

    Missing directories are made. If the block raises, the old file stays. The name beside it is always the same, so
    that the next write replaces what a killed process left.
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


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside ``path`` for files; it takes the name once all of them are complete and on the disk.

    A folder that is there is replaced as a whole. If the block raises, it stays.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside, before = (path.with_name(f".{path.name}.{part}") for part in ("part", "before"))
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for file in aside.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if path.exists():  # no system replaces a folder that holds files in one step
            shutil.rmtree(before, ignore_errors=True)
            os.replace(path, before)
        try:
            os.replace(aside, path)
        except OSError:
            if before.exists():
                os.replace(before, path)
            raise
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as :data:`TEXT`, completely or not at all."""
    with atomic_file(path) as aside:
        aside.write_text(text, **TEXT)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, completely or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
