"""What a reader checks at its door: the paths and the split that a spec names.

Each check answers with one line that says what was expected, what was found and what to type.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice


def wrong(spec: DatasetSpec, message: str) -> InputError:
    """The error that ``spec`` cannot be read, for the caller to raise."""
    return InputError(f"dataset spec {str(spec)!r}: {message}")


def expanded(path: str) -> Path:
    """A path as a person types it, ``~`` expanded."""
    return Path(os.path.expanduser(path))  # Path.expanduser() raises where there is no such home


def location(spec: DatasetSpec) -> Path:
    """The spec's location as a path, ``~`` expanded."""
    return expanded(spec.location)


def existing_directory(spec: DatasetSpec, path: Path, expected: str) -> Path:
    """``path``, which must be a directory; ``expected`` says of what."""
    if os.path.isdir(path):  # Path.is_dir() raises where permission is denied
        return path
    found = f"not a directory: {path}" if os.path.exists(path) else f"no such directory: {path}"
    raise wrong(spec, f"{found}; expected {expected}")


def existing_file(spec: DatasetSpec, path: Path, expected: str) -> Path:
    """``path``, which must be a file; ``expected`` says of what."""
    if os.path.isfile(path):
        return path
    found = f"not a file: {path}" if os.path.exists(path) else f"no such file: {path}"
    raise wrong(spec, f"{found}; expected {expected}")


def image_root(spec: DatasetSpec, default: Path) -> Path:
    """The directory that the option ``root`` names, or ``default``."""
    if "root" not in spec.options:
        return default
    return existing_directory(spec, expanded(spec.options["root"]), "the directory that the image paths start from")


def check_split(spec: DatasetSpec, available: Sequence[str]) -> None:
    """Refuse a split that is not one of ``available``; no split at all is fine."""
    if spec.split is None or spec.split in available:
        return
    if not available:
        raise wrong(spec, f"{spec.scheme} has no splits; leave @{spec.split} out")
    raise wrong(spec, f"unknown split {spec.split!r}; {choice(spec.split, available)}")
