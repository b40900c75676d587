"""The tables of a finished run: the accuracy of each class, and the class predicted for each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import read_rows


def read_classes(directory: str | Path) -> list[dict[str, Any]]:
    """Read the final accuracy of each class from ``per_class.csv``; an empty list if the run wrote no such file.

    A row has ``class``, ``train_images``, ``images`` and ``accuracy``, 0 to 1. Raises ``InputError`` if the file has a
    class twice, or an impossible value.
    """
    path = Path(directory) / "per_class.csv"
    if not path.is_file():
        return []
    numbers: dict[str, Callable[[str], float]] = {"train_images": int, "images": int, "accuracy": float}
    make = "transfer evaluate RUN TEST --per-class FILE.csv"
    rows = read_rows(path, ("class", *numbers), kind="table of classes", make=make)
    try:
        found: list[dict[str, Any]] = [
            {"class": row["class"], **{name: to(row[name]) for name, to in numbers.items()}} for _, row in rows
        ]
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: holds a value that is not a number ({error})") from error
    if any(not 0 <= row["accuracy"] <= 1 for row in found) or len({row["class"] for row in found}) < len(found):
        raise InputError(f"{path}: expected each class once, with an accuracy from 0 to 1; write it anew with: {make}")
    if any(not 0 <= row[name] < 2**63 for row in found for name in ("train_images", "images")):
        raise InputError(f"{path}: expected numbers of images of at least 0; write it anew with: {make}")
    return found


def read_predictions(path: Path) -> dict[str, list[Any]]:
    """Read a table of predictions by its columns; empty lists if there is none, as in the runs of earlier versions.

    The columns are ``image``, its id; ``class``, the predicted one; ``probability``, 0 to 1; and ``label``, the true
    class. Unreadable images are left out. Raises ``InputError`` if a column is missing, or a probability is no number.
    """
    found: dict[str, list[Any]] = {name: [] for name in ("image", "class", "probability", "label")}
    if not path.is_file():
        return found
    for line, row in read_rows(path, tuple(found), kind="table of predictions"):
        if not row["class"]:
            continue
        try:
            row["probability"] = float(row["probability"])  # type: ignore[assignment]
        except ValueError as error:
            raise InputError(f"{path} line {line}: the probability is not a number ({error})") from error
        if not 0 <= row["probability"] <= 1 + 1e-5:  # type: ignore[operator]  # float32 may exceed 1 by rounding
            raise InputError(f"{path} line {line}: the probability must be from 0 to 1, got {row['probability']}")
        for name, column in found.items():
            column.append(row[name])
    return found
