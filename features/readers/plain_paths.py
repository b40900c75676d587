"""Paths in place of a dataset spec, as one types them who has images without labels."""

from __future__ import annotations

import os

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.readers.checks import expanded
from features.readers.scheme import SCHEMES


def spec_of(text: str, argument: str = "images") -> DatasetSpec:
    """Return a dataset spec as it is, and ``images:PATH`` for the path of a folder, an image or a list of paths.

    A known scheme goes before a path of that name.

    Raises:
        InputError: It is neither; the message calls it ``argument``.
    """
    scheme, colon, _ = text.partition(":")
    path = expanded(text)
    if not (colon and scheme in SCHEMES) and os.path.exists(path):
        return DatasetSpec("images", str(path))
    if not colon:
        raise InputError(
            f"`{argument}` {text}: no such file or folder; expected a folder of images, an image, a text file with the "
            f"path of an image a line, or a dataset spec such as folder:DIR"
        )
    return DatasetSpec.parse(text)
