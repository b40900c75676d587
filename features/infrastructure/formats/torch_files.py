"""Files of ``torch.save``: read without running code of theirs, and checked by the checksums that they hold."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from features.infrastructure.disk.regular_files import open_regular


def read_torch(path: Path, kind: str, inert: type | None = None) -> Any:
    """Read what ``torch.save`` wrote: tensors, numbers, texts and containers, on the CPU.

    Objects of other types are an error, or become ones of the type ``inert``. PyTorch itself does not compare the
    checksums of the archive's parts.

    Raises:
        InputError: It is missing, or no regular file; messages call it ``kind``.
        Exception: What the file holds cannot be read: PyTorch raises errors of any type.
    """
    import torch

    _check_archive(path, kind)
    names: Iterable[str] = ()
    if inert is not None:
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except Exception:  # an early format, or no such file at all, which reading it tells
            names = ()
    pairs: Any = [(inert, name) for name in names]
    with torch.serialization.safe_globals(pairs) if pairs else nullcontext():
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(path: Path, kind: str) -> None:
    """Raise ``ValueError`` for an archive with a changed byte, or with parts that are larger than it is."""
    with open_regular(path, kind) as file:
        if not zipfile.is_zipfile(file):
            return  # the format of early versions has no checksums
        with zipfile.ZipFile(file) as archive:
            held = sum(part.file_size for part in archive.infolist())
            if held > path.stat().st_size or any(part.compress_type for part in archive.infolist()):
                raise ValueError("its parts are compressed, as torch.save writes none")
            if (part := archive.testzip()) is not None:
                raise ValueError(f"a byte of its part {part} has changed")
