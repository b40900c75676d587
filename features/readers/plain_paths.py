"""Paths in place of a dataset spec: read as they are if labels do not matter, else answered with the spec to type."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Address
from features.readers.checks import expanded
from features.readers.class_folders import split_word
from features.readers.other_files import other_file
from features.readers.scheme import SCHEMES


def spec_of(text: str, argument: str = "images") -> DatasetSpec:
    """Return a dataset spec as it is, and ``images:PATH`` for the path or address of a folder, an image or a list.

    A known scheme goes before a path of that name.

    Raises:
        InputError: It is neither; the message calls it ``argument``.
    """
    scheme, colon, _ = text.partition(":")
    path = expanded(text)
    if isinstance(path, Address):
        return DatasetSpec("images", path.full)
    if not (colon and scheme in SCHEMES) and os.path.exists(path):
        return DatasetSpec("images", str(path))
    if not colon:
        raise InputError(
            f"`{argument}` {text}: no such file or folder; expected a folder of images, an image, a text file with the "
            f"path of an image a line, or a dataset spec such as folder:DIR"
        )
    return DatasetSpec.parse(text)


def labelled_spec(text: str) -> DatasetSpec:
    """Parse a dataset spec of images with labels.

    Raises:
        InputError: It is no spec. For a path, the message holds the spec to type, or says what else is there.
    """
    scheme, colon, _ = text.partition(":")
    if not (colon and scheme in SCHEMES) and text:
        for given in (DatasetSpec("folder", text), DatasetSpec.parse(f"folder:{text}")):
            path = expanded(given.location)
            if not isinstance(path, Path) or not os.path.exists(path):
                continue
            if not (os.path.isfile(path) or os.path.isdir(path)):
                raise InputError(f"{path}: is a pipe or a device; expected a dataset, a folder or a file")
            if (other := other_file(path)) is not None:
                raise InputError(f"{path}: expected a dataset, and this {other}")
            if (spec := _spec_at(path, given)) is not None:
                raise InputError(f"dataset spec {text!r} has no scheme: for this path, type {spec.typed()}")
    return DatasetSpec.parse(text)


def _spec_at(path: Path, given: DatasetSpec) -> DatasetSpec | None:
    """The spec of a path, with the split and the options that were given; None for a file of no known kind."""
    recognised = (scheme.recognises(path) for scheme in SCHEMES.values())
    spec = next((one for one in recognised if one is not None), None)
    if spec is None and not path.is_dir():
        return None
    if spec is None:
        below = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        trained = next((name for name in below if split_word(name) in ("train", "training")), None)
        spec = DatasetSpec("folder", str(path), trained)
    return replace(spec, split=given.split or spec.split, options=given.options)
