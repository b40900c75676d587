"""Checks of the paths and the split of a dataset spec, and the lines of label files."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from features.dataset_spec import DatasetSpec
from features.infrastructure.suggestions import choice


def expanded(path: str) -> Path:
    """Return a path with ``~`` expanded."""
    return Path(os.path.expanduser(path))  # Path.expanduser() raises if the home directory is unknown


def existing_directory(spec: DatasetSpec, path: Path, expected: str) -> Path:
    """Return ``path`` if it is a directory; raise an `InputError` that ends in ``expected`` if not."""
    if os.path.isdir(path):  # Path.is_dir() raises if permission is denied
        return path
    raise spec.error(f"{'not a' if os.path.exists(path) else 'no such'} directory: {path}; expected {expected}")


def existing_file(spec: DatasetSpec, path: Path, expected: str) -> Path:
    """Return ``path`` if it is a file; raise an `InputError` that ends in ``expected`` if not."""
    if os.path.isfile(path):
        return path
    raise spec.error(f"{'not a' if os.path.exists(path) else 'no such'} file: {path}; expected {expected}")


def image_root(spec: DatasetSpec, default: Path) -> Path:
    """Return the directory of the option ``root``, or ``default``; raise `InputError` if it is no directory."""
    if "root" not in spec.options:
        return default
    return existing_directory(spec, expanded(spec.options["root"]), "the directory that the image paths start from")


def check_split(spec: DatasetSpec, available: Sequence[str]) -> None:
    """Raise `InputError` for a split that is not in ``available``; a spec without a split passes."""
    if spec.split is None or spec.split in available:
        return
    if not available:
        raise spec.error(f"{spec.scheme} has no splits; leave @{spec.split} out")
    raise spec.error(f"unknown split {spec.split!r}; {choice(spec.split, available)}")


def numbered_lines(spec: DatasetSpec, path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of ``path`` that are not blank, stripped, each with its number from 1.

    Bytes that are not UTF-8 become surrogates, as in the file names of :mod:`os`, so that such a path still opens.

    Raises:
        InputError: The file cannot be read, or is a damaged gzip file.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                if stripped := line.strip():
                    yield number, stripped
    except (OSError, EOFError, zlib.error) as error:
        raise spec.error(f"{path} cannot be read: {error}") from error
