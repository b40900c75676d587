"""Resume: what an extraction finds on the disk, a finished bank to reuse or a checkpoint to resume from."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from features.bank import IDENTITY, FeatureBank
from features.changes import changed_since
from features.dataset import ImageDataset
from features.extraction.shard import Shard
from features.infrastructure.console import console, say_once
from features.infrastructure.disk.locks import locked
from features.infrastructure.errors import InputError, difference
from features.infrastructure.storage.addresses import Location, working_file
from features.kept_features import KeptFeatures


def find_finished(
    out: Location, attrs: Mapping[str, Any], *, modified: float, keep_images: bool
) -> FeatureBank | Shard | None:
    """Return the bank at ``out``, or the shard if ``attrs`` name one; None if there is no such file.

    ``attrs`` are those of the bank to make, and ``modified`` is the last change of its images, in seconds since the
    epoch.

    Raises:
        InputError: The file is something else, does not agree with the request, or is older than an image.
    """
    if not out.exists():
        return None
    try:
        found = Shard.open(out) if "shard" in attrs else FeatureBank.open(out)
    except InputError as error:
        raise InputError(f"`out`: something else is there ({error}); name another file or give `overwrite`") from error
    if _differing(found.attrs, attrs):
        raise InputError(f"`out` {out}: holds another {_other(found.attrs, attrs)}")
    if changed_since(modified, found.attrs.get("created")):
        fault = f"images of {attrs['dataset']} were changed after it was made, or copied without their dates"
        raise InputError(f"`out` {out}: {fault}; give `overwrite` to extract them again, or copy them with cp -a")
    if keep_images and not found.keeps_images:
        raise InputError(f"`out` {out}: holds this bank without image features; give `overwrite` to add them")
    return found


def find_unfinished(
    out: Location, dataset: ImageDataset, attrs: Mapping[str, Any], *, dim: int, keep_images: bool, overwrite: bool
) -> Shard | None:
    """Return the checkpoint beside ``out`` to resume from; None if there is none, or none that is still valid.

    A checkpoint that is not valid is removed, so that no part of it can be mistaken for one of the new extraction.
    ``attrs`` are those of the bank to make, and ``dim`` is the width D of its features.

    Raises:
        InputError: The checkpoint is damaged, or of another extraction, and ``overwrite`` is not given.
    """
    path = resume_path(out)
    if not path.exists():
        discard(out)
        return None
    try:
        shard = Shard.open(path)
    except InputError as error:
        if not overwrite:
            raise InputError(f"{error}; remove {path}, or give `overwrite` to start again") from error
        discard(out)
        return None
    differing = _differing(shard.attrs, attrs)
    fault = None
    if "manifest_sha256" in differing:
        fault = "the images have changed since"
    elif changed_since(dataset.source.modified(), shard.attrs.get("created")):
        fault = "the images have changed since, or were copied without their dates (cp -a keeps them)"
    elif differing or (shard.kept is not None) != keep_images:
        if not overwrite:
            raise InputError(f"`out` {out}: an unfinished {_other(shard.attrs, attrs)}")
        fault = "of another extraction"
    elif shard.kept is not None:
        fault = _fault_of_features(resume_path(out, ".features"), dim, shard)
    if fault is None and shard.attrs.get("torch") != attrs["torch"]:
        console.print(f"{path}: made with torch {shard.attrs.get('torch')}; the last digits may differ from now on")
    if fault is not None:
        console.print(f"{path}: {fault}; starting from the first image")
        discard(out)
        return None
    done, whole = shard.position - shard.positions.start, len(shard.positions)
    console.print(f"{path}: resuming after {done} of {whole} images")
    return shard


def _fault_of_features(features: Path, dim: int, shard: Shard) -> str | None:
    """What is wrong with the file of features of an unfinished shard. That of an earlier release has no checksum."""
    rows = len(shard.kept or ())
    if KeptFeatures.rows(features, dim) < rows:
        return "its file of features is not complete"
    if shard.features_crc32 not in (None, KeptFeatures.checksum(features, dim, rows)):
        return "its file of features is damaged"
    return None


def resume_path(out: Location, ending: str = "") -> Path:
    """Return the path of the checkpoint of ``out``, or of a file with an ending that belongs to it, on the disk."""
    return working_file(out, f".resume{ending}")


def discard(out: Location) -> None:
    """Remove the checkpoint of an unfinished extraction, then the features that it refers to."""
    for path in _parts(out):
        path.unlink(missing_ok=True)


def discard_unused(out: Location) -> None:
    """Remove features to which no checkpoint refers, because there is none."""
    if not resume_path(out).exists():
        resume_path(out, ".features").unlink(missing_ok=True)


def discard_left(out: Location) -> None:
    """Do what :func:`discard` does for an output that is finished, unless another process is making it again.

    Such a checkpoint was left by a process that was killed between writing the output and removing it.
    """
    if any(path.exists() for path in _parts(out)):
        with suppress(InputError, OSError), locked(out):
            discard(out)


def discard_other_jobs(out: Location, processes: int) -> None:
    """Remove the shards of jobs of other numbers of processes that were killed, but for those that still run."""
    if not isinstance(out, Path):
        return
    name = re.compile(re.escape(out.name) + r"\.[0-9]+-of-([0-9]+)(?:\.resume(?:\.features)?)?")
    for path in out.parent.glob(f"{glob.escape(out.name)}.*-of-*"):
        if (found := name.fullmatch(path.name)) and int(found[1]) != processes:
            shard = path.with_name(re.sub(r"\.resume(\.features)?$", "", path.name))
            with suppress(InputError, OSError), locked(shard):
                path.unlink(missing_ok=True)
                say_once(f"{out}: removed what a job of {found[1]} processes had left")


def _parts(out: Location) -> tuple[Path, Path]:
    return resume_path(out), resume_path(out, ".features")


def _differing(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return the attributes in which a file does not agree with the request."""
    return [name for name in (*IDENTITY, "shard") if found.get(name) != asked.get(name)]


def _other(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Return the end of a sentence about a file that does not agree with the request."""
    names = _differing(found, asked)
    if not names:
        return "extraction with another `keep_images`; name another file or give `overwrite`"
    what = difference(names[0], found.get(names[0]), asked.get(names[0]))
    return f"bank ({what}); name another file or give `overwrite`"
