"""Checks of the paths, the addresses and the split of a dataset spec, and the lines of label files."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from features.address_images import AddressImages, files_at
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.infrastructure.errors import InputError
from features.infrastructure.formats.text_lines import text_lines
from features.infrastructure.storage.addresses import Address, Location, located
from features.infrastructure.suggestions import choice
from features.readers.scheme import SpecOption

LocationT = TypeVar("LocationT", Path, Address, Location)

#: The option that :func:`image_root` reads.
ROOT_OPTION = SpecOption("DIR", "the directory that the image paths start from; by default that of the file")


def expanded(path: str) -> Location:
    """Return the path or the address in a spec, with ``~`` expanded."""
    return located(os.path.expanduser(path))  # Path.expanduser() raises if the home directory is unknown


def is_directory(path: Location) -> bool:
    """Return whether a path is a directory, or an address a folder."""
    return (
        path.is_dir() if isinstance(path, Address) else os.path.isdir(path)
    )  # Path.is_dir() raises without permission


def is_file(path: Location) -> bool:
    """Return whether a path or an address is a file."""
    return path.is_file() if isinstance(path, Address) else os.path.isfile(path)


def existing_directory(spec: DatasetSpec, path: LocationT, expected: str) -> LocationT:
    """Return ``path`` if it is a directory; raise an `InputError` that ends in ``expected`` if not.

    A web server does not tell what is a directory; the files that are looked for there will show it.
    """
    if (isinstance(path, Address) and path.is_web) or is_directory(path):
        return path
    raise spec.error(f"{'not a' if _exists(path) else 'no such'} directory: {path}; expected {expected}")


def existing_file(spec: DatasetSpec, path: LocationT, expected: str) -> LocationT:
    """Return ``path`` if it is a file; raise an `InputError` that ends in ``expected`` if not."""
    if is_file(path):
        return path
    raise spec.error(f"{'not a' if _exists(path) else 'no such'} file: {path}; expected {expected}")


def _exists(path: Location) -> bool:
    return path.exists() if isinstance(path, Address) else os.path.exists(path)


def image_root(spec: DatasetSpec, default: Location) -> Location:
    """Return the directory of the option ``root``, or ``default``; raise `InputError` if it is no directory."""
    if "root" not in spec.options:
        return default
    return existing_directory(spec, expanded(spec.options["root"]), "the directory that the image paths start from")


#: What to do about paths that leave the root, where it can be said.
ROOT_REMEDY = "give ?root=DIR, a folder that holds all images (?root=/ for any)"


def check_split(spec: DatasetSpec, available: Sequence[str]) -> None:
    """Raise `InputError` for a split that is not in ``available``; a spec without a split passes."""
    if spec.split is None or spec.split in available:
        return
    if not available:
        raise spec.error(f"{spec.scheme} has no splits; leave @{spec.split} out")
    raise spec.error(f"unknown split {spec.split!r}; {choice(spec.split, available)}")


def numbered_lines(spec: DatasetSpec, path: Location) -> Iterator[tuple[int, str]]:
    """Yield the lines of ``path`` that are not blank, stripped, each with its number from 1.

    Raises:
        InputError: The file cannot be read; see :func:`features.infrastructure.formats.text_lines.text_lines`.
    """
    try:
        for number, line in enumerate(text_lines(path), start=1):
            if stripped := line.strip():
                yield number, stripped
    except InputError as error:
        raise spec.error(str(error)) from error


def images_below(
    spec: DatasetSpec, root: Location, paths: Sequence[str], remedy: str = "correct the file"
) -> tuple[list[str], FileImages | AddressImages]:
    """Return the paths of images that a file lists, in one form, and the images below ``root``.

    A path may not lead out of the root, by ``..`` or from the root of the disk: the file may come from elsewhere.

    Raises:
        InputError: A path leads out of the root; the message ends in ``remedy``.
    """
    found = [posixpath.normpath(path) for path in paths]
    inside = "" if isinstance(root, Address) else os.path.join(os.path.abspath(root), "")
    for path in found:
        if (path.startswith(("/", "../")) or path == "..") and not (inside and path.startswith(inside)):
            raise spec.error(f"the path {path!r} leaves {root}, where the paths of images start; {remedy}")
    return found, files_at(root, found)
