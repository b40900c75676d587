"""Files that a command writes: completely or not at all, and never over another file unasked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from features.infrastructure.disk.locks import locked
from features.infrastructure.errors import NO_ROOM, InputError
from features.infrastructure.storage.addresses import Address, Location, located, working_file
from features.infrastructure.storage.listings import Listing
from features.infrastructure.storage.secrets import without_secrets

_WEB = "a web server takes no files; name a path, or an address in a store, such as s3://…"


def check_new(
    files: Mapping[str, str | Location | None], *, read: Iterable[str | Location] = (), overwrite: bool = False
) -> None:
    """Check that a command can write its files, before its work begins.

    ``files`` maps how messages call a file, mostly its argument in backticks, to its path or address; None for no file.
    Files in ``read`` are never replaced; other files are replaced only with ``overwrite``.

    Raises:
        InputError: A file exists, is named twice, is read by the command, or cannot be written.
    """
    taken = {_resolved(located(path), "the file"): "" for path in read}
    for argument, name in files.items():
        if name is None:
            continue
        path = located(name)
        other = taken.setdefault(_resolved(path, argument), argument)
        if not other:
            raise InputError(f"{argument} {path}: would replace what is read; name another file")
        if other != argument:
            raise InputError(f"{argument} {path}: is the file of {other} too; name another one")
        if path.is_file() and not overwrite:
            raise InputError(f"{argument} {path}: is there already; name another file or give `overwrite`")
        if isinstance(path, Path) and path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{argument} {path}: is a device or a pipe; name a file")
    for argument, name in files.items():
        if name is not None:
            check_writable(located(name), argument)


def _resolved(path: Location, argument: str) -> Location:
    """Return the file that a path names, through links."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # Python before 3.13 raises the second
        raise InputError(f"{argument} {path}: is a link that leads to itself; name another file") from error
    except ValueError as error:
        raise InputError(f"{argument} {str(path)!r}: no file can have this name; name another file") from error


def check_ending(path: str | Location, endings: Collection[str], argument: str = "`out`") -> None:
    """Raise `InputError` if the name of a file, which messages call ``argument``, has none of the ``endings``.

    A directory is left to :func:`check_writable`, which says more about it.
    """
    place = located(path)
    if place.suffix not in endings and not (isinstance(place, Path) and place.is_dir()):
        raise InputError(f"{argument} {path}: expected a file name that ends in {' or '.join(endings)}")


def check_writable(path: Location, argument: str = "`out`") -> None:
    """Check that a file, which messages call ``argument``, can be written; make its directory if that is missing.

    Of an address, it is checked that its store answers, has the bucket, and is no web server; whether it takes the file
    shows when the file is stored.

    Raises:
        InputError: The path is a directory, or its parent directory cannot be made or written to.
    """
    if isinstance(path, Address) and path.is_web:
        raise InputError(f"{argument} {path}: {_WEB}")
    if isinstance(path, Address) and path.lacks_bucket():
        raise InputError(f"{argument} {path}: there is no such bucket; make it, or name another one")
    if path.is_dir():
        raise InputError(f"{argument} {path}: is a directory; name a file in it")
    _check_parent(path, working_file(_resolved(path, argument), "").parent, argument)


def check_new_folder(
    path: Location,
    holds: Collection[str],
    argument: str = "`out`",
    *,
    read: Iterable[str | Location] = (),
    overwrite: bool,
) -> None:
    """Check that a command can write a folder of the files ``holds``, before its work begins.

    An empty folder is filled. One with such files is replaced only with ``overwrite``, one with any other file never.

    Raises:
        InputError: There is such a folder, a file, or the working directory; it holds what is read, or cannot be
            written.
    """
    if isinstance(path, Address) and path.is_web:
        raise InputError(f"{argument} {path}: {_WEB}")
    if path.exists() and not path.is_dir():
        raise InputError(f"{argument} {path}: is a file; name a folder")
    if path.resolve() == Path.cwd():
        raise InputError(f"{argument} {path}: is the working directory; name a folder in it")
    there = sorted(_names_in(path)) if path.is_dir() else []
    if others := [name for name in there if name not in holds]:
        raise InputError(f"{argument} {path}: holds other files, such as {others[0]}; name another folder")
    if any(_is_below(located(one).resolve(), path.resolve()) for one in read):
        raise InputError(f"{argument} {path}: would replace what is read; name another folder")
    if there and not overwrite:
        raise InputError(f"{argument} {path}: is there already; name another folder or give `overwrite`")
    _check_parent(path, working_file(path, "").parent, argument)


def _names_in(folder: Location) -> list[str]:
    if isinstance(folder, Address):
        return list(dict.fromkeys(path.partition("/")[0] for path in Listing.of(folder).paths))
    return [entry.name for entry in folder.iterdir()]


def _is_below(path: Location, folder: Location) -> bool:
    if isinstance(path, Path) and isinstance(folder, Path):
        return path.is_relative_to(folder)
    return f"{path}/".startswith(f"{folder}/")


def _check_parent(path: Location, parent: Path, argument: str) -> None:
    """Make the directory in which a path is written if it is missing, and check that it can be written to."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"its directory cannot be made ({error.strerror})"
        raise InputError(f"{argument} {path}: {fault}; name another file") from error
    if not os.access(parent, os.W_OK):
        raise InputError(f"{argument} {path}: {parent} cannot be written to; name another file")


#: How text files are encoded: UTF-8, in which paths that are not UTF-8 keep their bytes.
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}


@contextmanager
def atomic_file(path: Location) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; the file takes its name once it is complete and on the disk.

    Missing directories are made. A link stays, and its file is replaced. If the block raises, the old file stays. The
    name beside it is always the same, so that the next write replaces what a killed process left; of two processes the
    second waits for the first, and replaces its file. The file of an address is written to the working directory, then
    stored as a whole.

    Raises:
        InputError: The file is complete and its store does not take it; the message says where it is instead.
    """
    path = path.resolve()
    aside = working_file(path, ".part", ".")
    with locked(aside, wait=True):
        aside.unlink(missing_ok=True)  # it may be a link, which would lead to another file
        try:
            yield aside
            with aside.open("rb") as written:
                os.fsync(written.fileno())
            put_in_place(aside, path)
        except OSError as error:
            if error.errno not in NO_ROOM or error.filename not in (None, str(aside)):
                raise
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        finally:
            aside.unlink(missing_ok=True)


def put_in_place(aside: Path, path: Location) -> None:
    """Give a complete file on the disk its name, or store it at its address.

    Raises:
        InputError: The store does not take it; the message says where the file is instead.
    """
    if isinstance(path, Path):
        os.replace(aside, path)
        _keep_name(path)
    else:
        _store(aside, path)


def _keep_name(path: Path) -> None:
    """Return when the new name of a file is on the disk; some file systems cannot tell."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _store_all(folder: Path, address: Address) -> None:
    """Store the files of a folder, and remove others."""
    names = sorted(entry.name for entry in folder.iterdir())
    for name in names:
        _store(folder / name, address / name)
    for other in set(Listing.of(address).paths) - set(names):
        (address / other).unlink(missing_ok=True)


def _store(file: Path, address: Address) -> None:
    """Store a complete file; if that fails, keep it under a name of its own."""
    try:
        address.write(file)
    except InputError as error:
        kept = working_file(address, address.suffix)
        os.replace(file, kept)
        raise InputError(f"{error}. The file itself is complete: {kept.absolute()}; copy it to its address") from error


@contextmanager
def atomic_folder(path: Location) -> Iterator[Path]:
    """Yield a folder beside ``path`` for files; it takes the name once all of them are complete and on the disk.

    A folder that is there is replaced as a whole. If the block raises, it stays. Of two processes the second waits for
    the first, and replaces its folder. The files of an address are stored one after the other, each as a whole, then
    others that were there are removed.
    """
    path = path.resolve()
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    aside, before = (working_file(path, f".{part}", ".") for part in ("part", "before"))
    with locked(aside, wait=True):
        if aside.is_symlink():
            aside.unlink()
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            yield aside
            for file in aside.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            if isinstance(path, Address):
                _store_all(aside, path)
                return
            if path.exists():  # no system replaces a folder that holds files in one step
                shutil.rmtree(before, ignore_errors=True)
                os.replace(path, before)
            try:
                os.replace(aside, path)
            except OSError:
                if before.exists():
                    os.replace(before, path)
                raise
            _keep_name(path)
            shutil.rmtree(before, ignore_errors=True)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Location, text: str) -> None:
    """Write a text file as :data:`TEXT`, completely or not at all; addresses in it lose credentials and signatures."""
    with atomic_file(path) as aside:
        aside.write_text(without_secrets(text), **TEXT)


def write_json(path: Location, content: Any) -> None:
    """Write a JSON file, completely or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
