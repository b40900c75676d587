"""What stands on the disk already when an extraction is asked for: a bank to reuse, or a part to go on from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from features.bank import IDENTITY, FeatureBank
from features.dataset import ImageDataset
from features.extraction.shard import KeptFeatures, Shard
from features.infrastructure.console import console
from features.infrastructure.errors import InputError


def finished(
    out: Path, dataset: ImageDataset, attrs: Mapping[str, Any], *, keep_images: bool
) -> FeatureBank | Shard | None:
    """What stands at ``out``, if it is what is asked for; None if nothing does.

    Args:
        out: A bank, or a shard where ``attrs`` name one.
        dataset: What is to be read.
        attrs: What the bank would say of itself.
        keep_images: Whether the features of the images are asked for.

    Raises:
        InputError: It is something else, or the images have changed since.
    """
    if not out.exists():
        return None
    try:
        found = Shard.open(out) if "shard" in attrs else FeatureBank.open(out)
    except InputError as error:
        raise InputError(f"--out: something else is there ({error}); name another file or give --overwrite") from error
    if _differing(found.attrs, attrs):
        raise InputError(f"--out {out}: holds another {_other(found.attrs, attrs)}")
    if _changed_since(dataset, found.attrs):
        raise InputError(
            f"--out {out}: images of {dataset.spec} were changed after it was made; give --overwrite to "
            f"extract them again"
        )
    if keep_images and not found.keeps_images:
        raise InputError(f"--out {out}: holds this bank without image features; give --overwrite to add them")
    return found


def unfinished(
    out: Path, dataset: ImageDataset, attrs: Mapping[str, Any], *, dim: int, keep_images: bool, overwrite: bool
) -> Shard | None:
    """The part of an extraction that lies beside ``out``, to go on from; None where none does, or none that holds.

    What does not hold any more is removed, so that nothing of it can be taken for a part of what comes.

    Args:
        out: The bank or shard that is being made.
        dataset: What is to be read.
        attrs: What the bank would say of itself.
        dim: Width D of the features.
        keep_images: Whether the features of the images are asked for.
        overwrite: Remove a part of another extraction instead of refusing.

    Raises:
        InputError: What is there is damaged, or was asked for with other options.
    """
    path = beside(out)
    if not path.exists():
        discard(out)
        return None
    try:
        shard = Shard.open(path)
    except InputError as error:
        if not overwrite:
            raise InputError(f"{error}; remove {path}, or give --overwrite to begin anew") from error
        discard(out)
        return None
    differing = _differing(shard.attrs, attrs)
    fault = None
    if "manifest_sha256" in differing or _changed_since(dataset, shard.attrs):
        fault = "the images have changed since"
    elif differing or (shard.kept is not None) != keep_images:
        if not overwrite:
            raise InputError(f"--out {out}: an unfinished {_other(shard.attrs, attrs)}")
        fault = "of another extraction"
    elif shard.kept is not None and KeptFeatures.rows(beside(out, ".features"), dim) < len(shard.kept):
        fault = "its file of features is not whole"
    elif shard.attrs.get("torch") != attrs["torch"]:
        console.print(f"{path}: made with torch {shard.attrs.get('torch')}; its last digits may differ from now on")
    if fault is not None:
        console.print(f"{path}: {fault}; starting from the first image")
        discard(out)
        return None
    done, whole = shard.position - shard.positions.start, len(shard.positions)
    console.print(f"{path}: going on after {done} of {whole} images")
    return shard


def beside(out: Path, ending: str = "") -> Path:
    """Where an unfinished extraction lies."""
    return out.with_name(f"{out.name}.resume{ending}")


def discard(out: Path) -> None:
    """Remove an unfinished extraction: first what says how much of the rest counts."""
    for path in (beside(out), beside(out, ".features")):
        path.unlink(missing_ok=True)


def check_unreadable(
    spec: str, skipped: Sequence[tuple[str, str]], n_images: int, *, on_error: str, max_unreadable: float
) -> None:
    """Refuse unreadable images, as soon as they are more than is allowed.

    Args:
        spec: The dataset's.
        skipped: What could not be read, as (id, reason).
        n_images: Images that were to be read, readable or not.
        on_error: ``skip`` or ``fail``: then one is too many.
        max_unreadable: Largest share, 0 to 1.

    Raises:
        InputError: Naming the first.
    """
    if not skipped:
        return
    id_, reason = skipped[0]
    if on_error == "fail":
        raise InputError(f"{spec}: cannot read {id_} ({reason})")
    if len(skipped) / n_images > max_unreadable:
        raise InputError(
            f"{spec}: at least {len(skipped)} of {n_images} images cannot be read, more than "
            f"--max-unreadable {max_unreadable:g}; the first is {id_} ({reason}); mend them, or raise the limit: the "
            f"bank then lists them"
        )


def _differing(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The attributes in which something on the disk is not what is asked for."""
    return [name for name in (*IDENTITY, "shard") if found.get(name) != asked.get(name)]


def _other(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The end of a sentence on something on the disk that is not what is asked for."""
    names = _differing(found, asked)
    if not names:
        return "extraction with another --keep-images; name another file or give --overwrite"
    what = f"{names[0]} is {found.get(names[0])!r}, asked for {asked.get(names[0])!r}"
    return f"bank ({what}); name another file or give --overwrite"


def _changed_since(dataset: ImageDataset, attrs: Mapping[str, Any]) -> bool:
    """Whether an image was changed after the extraction began. A date in the future says nothing."""
    began = datetime.fromisoformat(attrs["created"]).timestamp()
    return began < dataset.source.modified() <= time.time()
