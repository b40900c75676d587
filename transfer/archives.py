"""Unpack the archives that a recipe reads, once."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from features.errors import InputError
from features.progress import progress


def unpack(archives: Sequence[str], data: Path, out: Path) -> Path:
    """Unpack tar archives from ``data`` below ``out``; what is unpacked already is left alone.

    Args:
        archives: File names in ``data``.
        data: Folder of the archives.
        out: Where they go; an archive appears there whole or not at all.

    Returns:
        ``out``.

    Raises:
        InputError: An archive is missing or damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in archives:
        source, done = data / name, out / f".{name}.unpacked"
        if done.exists():
            continue
        if not source.is_file():
            raise InputError(f"{source}: no such archive; give its folder with --data DIR or $TRANSFER_DATA")
        aside = out / f".{name}.part"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            with tarfile.open(source) as archive:
                members = archive.getmembers()
                with progress(f"unpack {name}", len(members)) as advance:
                    for member in members:
                        archive.extract(member, aside, filter="data")
                        advance()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{source}: cannot be unpacked ({error})") from error
        for entry in aside.iterdir():
            shutil.rmtree(out / entry.name, ignore_errors=True)
            os.replace(entry, out / entry.name)
        aside.rmdir()
        done.touch()
    return out
