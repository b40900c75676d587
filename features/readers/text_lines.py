"""Label files of lines of text, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from features.dataset_spec import DatasetSpec
from features.readers.checks import wrong


def numbered_lines(spec: DatasetSpec, path: Path) -> Iterator[tuple[int, str]]:
    """The lines of ``path`` that are not blank, stripped, each with its number from 1.

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
        raise wrong(spec, f"{path} cannot be read: {error}") from error
