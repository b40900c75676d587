"""The archives that a recipe reads, unpacked once."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from features.infrastructure.console import progress, say_once
from features.infrastructure.disk.locks import locked
from features.infrastructure.disk.regular_files import open_regular
from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import read_json, write_sealed_json
from features.infrastructure.formats.tar_files import TAR_ERRORS, is_sparse, open_tar
from features.infrastructure.storage.addresses import Address, Location, local_copy
from features.infrastructure.storage.listings import FileState

#: What an archive may become, in times its size and in bytes beyond that.
_RATIO, _FREE = 100, 1 << 20


class _Known(TypedDict):
    size: int
    modified: int


class _Marker(_Known, total=False):
    """What a marker records of the archive that was unpacked."""

    version: str
    entries: list[str]


def unpack(archives: Sequence[str], data: Location, out: Path) -> Path:
    """Unpack tar archives from ``data`` below ``out``, unless they are unpacked already.

    An archive that has changed since (another size or time) is unpacked again.

    Args:
        archives: File names in ``data``.
        data: Folder or address of the archives.
        out: The folder to unpack to, which is returned; an archive appears there whole or not at all.

    Raises:
        InputError: An archive is missing or damaged, or another process is unpacking it.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in archives:
        source = data / name
        if not source.is_file():
            raise InputError(f"{source}: no such archive; give its folder with `data` or $TRANSFER_DATA")
        marker = out / f".{source.name}.json"  # records what was unpacked
        if not _is_unpacked(source, marker):
            with locked(out / source.name, "archive"):
                if not _is_unpacked(source, marker):  # by another process meanwhile
                    _unpack(source, out, marker)
    return out


def _state(source: Location) -> dict[str, Any]:
    if isinstance(source, Address):
        state = FileState.of(source.info() or {})
        return {"size": state.size, "modified": int(state.modified * 1e9), "version": state.version}
    return {"size": source.stat().st_size, "modified": source.stat().st_mtime_ns}


def _is_unpacked(source: Location, marker: Path) -> bool:
    """Whether the archive as it is now has been unpacked."""
    return _recorded(marker).items() >= _state(source).items()


def _recorded(marker: Path) -> dict[str, Any]:
    """What a marker says was unpacked; empty without a marker, and for a damaged one, so that it is unpacked again."""
    try:
        return read_json(marker, "marker of an archive", _Marker) if marker.is_file() else {}
    except InputError as error:
        say_once(f"{error}; the archive is unpacked again")
        return {}


def _members(archive: tarfile.TarFile, source: Location, aside: Path) -> list[tarfile.TarInfo]:
    """The members, each a file or a folder that stays in the folder ``aside``; raises `InputError` for another one."""
    members, size, most = [], 0, _FREE + _RATIO * local_copy(source).stat().st_size
    for member in archive:
        inside = (aside / member.name).resolve().is_relative_to(aside.resolve())
        if not inside or not (member.isfile() or member.isdir()):
            raise InputError(f"{source}: {member.name} leaves the folder or is a link or device; remove it")
        if is_sparse(member):
            raise InputError(f"{source}: {member.name} is sparse; pack it as a plain file")
        size += member.size
        if size > most:  # said before the reader passes over it
            raise InputError(f"{source}: becomes more than {_RATIO} times its size; unpack it yourself if it is sound")
        members.append(member)
    return members


def _unpack(source: Location, out: Path, marker: Path) -> None:
    state = _state(source)  # taken before it is read: an archive that changes meanwhile is unpacked again
    earlier = _recorded(marker).get("entries", [])
    aside = out / f".{source.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        with open_regular(local_copy(source), "archive") as file, open_tar(file, "r:*") as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # older Pythons have none
            members = _members(archive, source, aside)
            with progress(f"unpack {source.name}", len(members)) as advance:
                for member in members:
                    archive.extract(member, aside)
                    advance()
    except InputError:
        raise
    except (*TAR_ERRORS, OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{source}: cannot be unpacked ({error})") from error
    entries = sorted(entry.name for entry in aside.iterdir())
    foreign = [entry for entry in entries if (out / entry).exists() and entry not in earlier]
    if foreign:
        raise InputError(f"{source}: {out / foreign[0]} exists and does not come from this archive; remove it")
    for entry in entries:
        shutil.rmtree(out / entry, ignore_errors=True)
        os.replace(aside / entry, out / entry)
    aside.rmdir()
    write_sealed_json(marker, state | {"entries": entries})
