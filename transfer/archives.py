"""The archives that a recipe reads, unpacked once."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.infrastructure.console import progress
from features.infrastructure.errors import InputError
from features.infrastructure.files import write_json
from features.infrastructure.locks import locked


def unpack(archives: Sequence[str], data: Path, out: Path) -> Path:
    """Unpack tar archives from ``data`` below ``out``, unless they are unpacked already.

    An archive that has changed since (another size or time) is unpacked again.

    Args:
        archives: File names in ``data``.
        data: Folder of the archives.
        out: The folder to unpack to; an archive appears there whole or not at all.

    Returns:
        ``out``.

    Raises:
        InputError: An archive is missing or damaged, or another process is unpacking it.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in archives:
        source = data / name
        if not source.is_file():
            raise InputError(f"{source}: no such archive; give its folder with `data` or $TRANSFER_DATA")
        if not _is_unpacked(source, out):
            with locked(out / source.name, "archive"):
                _unpack(source, out)
    return out


def _marker(source: Path, out: Path) -> tuple[Path, dict[str, Any]]:
    """The file that records what was unpacked from an archive, and its content."""
    marker = out / f".{source.name}.json"
    return marker, json.loads(marker.read_text()) if marker.is_file() else {}


def _state(source: Path) -> dict[str, int]:
    return {"size": source.stat().st_size, "modified": source.stat().st_mtime_ns}


def _is_unpacked(source: Path, out: Path) -> bool:
    """Whether the archive as it is now has been unpacked."""
    _, unpacked = _marker(source, out)
    return {key: unpacked.get(key) for key in ("size", "modified")} == _state(source)


def _unpack(source: Path, out: Path) -> None:
    if _is_unpacked(source, out):
        return  # by another process meanwhile
    marker, unpacked = _marker(source, out)
    state = _state(source)  # taken before it is read: an archive that changes meanwhile is unpacked again
    aside = out / f".{source.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        with tarfile.open(source) as archive:
            members = archive.getmembers()
            with progress(f"unpack {source.name}", len(members)) as advance:
                for member in members:
                    archive.extract(member, aside, filter="data")
                    advance()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{source}: cannot be unpacked ({error})") from error
    entries = sorted(entry.name for entry in aside.iterdir())
    foreign = [entry for entry in entries if (out / entry).exists() and entry not in unpacked.get("entries", [])]
    if foreign:
        raise InputError(f"{source}: {out / foreign[0]} exists and does not come from this archive; remove it")
    for entry in entries:
        shutil.rmtree(out / entry, ignore_errors=True)
        os.replace(aside / entry, out / entry)
    aside.rmdir()
    write_json(marker, state | {"entries": entries})
