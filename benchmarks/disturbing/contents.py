"""What a file or a folder holds, but for dates, durations and the directory: equal results have equal contents."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

#: Keys, attributes and columns that two undisturbed runs of one command do not share, or that are of one call; the
#: digests are those of files with dates or durations.
_VOLATILE = frozenset(
    {
        "created",
        "started",
        "argv",
        "seconds",
        "directory",
        "images_per_second",
        "sha256",
        "history_sha256",
        "steps_before",
    }
)
#: Files of a run that are for people: they are checked to be there, not compared.
_UNCOMPARED = frozenset({"log.txt", "report.html"})
#: Endings of files that a killed command may leave for the next one; none may be there after that one.
LEFT = (".part", ".resume", ".features", ".lock", ".together", ".ckpt", ".before")


def contents(path: Path) -> dict[str, Any]:
    """Return path below ``path`` → content of each file; empty if there is nothing.

    Raises:
        Exception: A file is not whole.
    """
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
    return {str(file.relative_to(path)): _content(file) for file in files if file.is_file() and not is_left(file)}


def difference(one: Any, other: Any) -> str:
    """Where two contents differ first, and how; empty if they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys(), key=str):
            if where := difference(one[key], other[key]) if key in one and key in other else "there in one only":
                return f"{key} > {where}"
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(
            (f"{i} > {where}" for i, pair in enumerate(zip(one, other, strict=True)) if (where := difference(*pair))),
            "",
        )
    return "" if one == other else f"{str(one)[:80]!r}, not {str(other)[:80]!r}"


def is_left(file: Path) -> bool:
    """Whether a file is no result, but what an unfinished command needs to go on."""
    return file.name.endswith(LEFT)


def _content(file: Path) -> Any:
    if file.name in _UNCOMPARED:
        return file.name
    if file.suffix == ".h5":
        return _hdf5(file)
    if file.suffix == ".json":
        return _stable(json.loads(file.read_text(encoding="utf-8")))
    if file.suffix == ".csv":
        return _table(file)
    if file.suffix == ".html":
        text = file.read_text(encoding="utf-8")
        if not text.rstrip().endswith("</html>"):
            raise ValueError(f"{file}: the page is not whole")
        return len(text) > 0
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            return {name: _digest(arrays[name]) for name in arrays.files}
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _hdf5(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def look(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            values = one.asstr()[:] if one.dtype.kind == "O" else one[:]
            found[name] = _digest(values)

    with h5py.File(file, "r", locking=False) as opened:
        if not opened.attrs["complete"]:
            raise ValueError(f"{file}: not complete")
        opened.visititems(look)
        found |= {f"@{name}": str(value) for name, value in opened.attrs.items() if name not in _VOLATILE}
    return found


def _digest(values: np.ndarray) -> str:
    data = "\0".join(map(str, values.tolist())).encode() if values.dtype.kind in "OSU" else values.tobytes()
    return hashlib.sha256(data).hexdigest()


def _table(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise ValueError(f"{file}: its last line is not whole")
    head, _, below = text.partition("\n")
    about = _stable(json.loads(head[1:])) if head.startswith("#") else None
    rows = list(csv.DictReader((below if about is not None else text).splitlines()))
    return [about, _stable(rows)]


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(one) for key, one in value.items() if key not in _VOLATILE}
    return [_stable(one) for one in value] if isinstance(value, list) else value
