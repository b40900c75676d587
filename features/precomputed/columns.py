"""Which column of a file of features is meant: the one that an option names, or the only one that can be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, local_copy
from features.precomputed.feature_file import Column, FeatureFile, as_values
from features.precomputed.formats.npy import load_array
from features.readers.checks import existing_file, expanded

#: What messages call the kinds of columns.
_WORDS = {
    "feature": "features: rows of floats",
    "label": "labels: one text or whole number a row",
    "id": "ids: one text or whole number a row",
}


def feature_column(spec: DatasetSpec, file: FeatureFile, option: str = "feature") -> str:
    """Return the name of the column of features that ``option`` names or, without it, that can be meant.

    Without the option it is the column called ``feature`` or ``features``, or the only one of rows of floats.

    Raises:
        InputError: There is no such column, or none that can be meant; it holds something else, has no rows, or rows of
            no features.
    """
    several = [name for name, column in file.columns.items() if column.kind == "features"]
    name = spec.options.get(option) or _meant(several, ("feature", "features"))
    if name is None:
        raise _undecided(spec, file, option, several)
    column = _existing(spec, file, option, name)
    if column.kind != "features":
        raise spec.error(f"{option}={name} holds {column.about}; expected {_WORDS['feature']}")
    if column.rows == 0:
        raise spec.error(f"{file.path} is empty: {name!r} has no rows")
    width = file.width(name)
    if width == 0:
        raise spec.error(f"{option}={name} has rows of no features; expected at least one float a row")
    return name


def label_column(spec: DatasetSpec, file: FeatureFile, rows: int, taken: Collection[str | None]) -> str | None:
    """Return the name of the column of labels that can be meant, without an option; None if none can.

    It is the column called ``label`` or ``labels``, or the only one of as many texts or whole numbers as there are
    ``rows``. Those that are ``taken`` have another meaning.

    Raises:
        InputError: Several columns can be meant.
    """
    several = [
        name
        for name, column in file.columns.items()
        if column.kind in ("text", "integers") and column.rows == rows and name not in taken
    ]
    if several and (name := _meant(several, ("label", "labels"))) is None:
        raise _undecided(spec, file, "label", several)
    return name if several else None


def values_of(spec: DatasetSpec, file: FeatureFile, option: str, name: str, rows: int) -> NDArray[Any] | list[str]:
    """Return one text or whole number a row, from a column or from a second file (``.npy``, or lines of text).

    Raises:
        InputError: There is neither, it holds something else, or not as many as there are rows.
    """
    if name in file.columns:
        column = file.columns[name]
        if column.kind not in ("text", "integers"):
            missing = " (whole numbers become floats where one is missing)" if column.about in _FLOATS else ""
            raise spec.error(f"{option}={name} holds {column.about}{missing}; expected {_WORDS.get(option, 'text')}")
        found, where = file.values(name), f"{option}={name}"
    elif expanded(name).is_file():
        found, where = _second_file(spec, option, expanded(name)), name
    else:
        _existing(spec, file, option, name)
        raise AssertionError(name)
    if len(found) != rows:
        raise spec.error(f"{where} has {len(found)} values, but {file.path} has {rows} rows; give one a row")
    return found


#: How formats call the types that an array of integers has where a value is missing.
_FLOATS = ("float64", "float32", "double", "float")


def _second_file(spec: DatasetSpec, option: str, path: Location) -> NDArray[Any] | list[str]:
    """The values of a ``.npy`` file or the lines of a text file; lines that all are whole numbers are numbers."""
    if path.suffix == ".npy":
        try:
            array = load_array(path)
        except InputError as error:
            raise spec.error(str(error)) from error
        if array.ndim != 1 or array.dtype.kind not in "SUTiub":
            held = f"{array.dtype} of shape {array.shape}"
            raise spec.error(f"{option}={path} holds {held}; expected {_WORDS.get(option, 'text')}")
        return as_values(array)
    existing_file(spec, path, "a text file with one value a line, or .npy")
    try:
        lines = local_copy(path).read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise spec.error(f"{path} cannot be read: {error}") from error
    lines = [line.strip() for line in lines]
    if empty := [number for number, line in enumerate(lines, start=1) if not line]:
        raise spec.error(f"{path}, line {empty[0]}: is empty; give one value a line")
    if all(line.isdecimal() and len(line) <= 18 for line in lines):  # larger numbers overflow int64
        return np.array(lines, dtype=np.int64)
    return lines


def _meant(fitting: list[str], usual: Collection[str]) -> str | None:
    """The one of several columns that has a usual name, or the only column; None if that is undecided."""
    named = [name for name in fitting if name in usual]
    return named[0] if len(named) == 1 else fitting[0] if len(fitting) == 1 else None


def _existing(spec: DatasetSpec, file: FeatureFile, option: str, name: str) -> Column:
    if name not in file.columns:
        raise spec.error(f"{option}={name}: {file.path} has no such column or array; it holds {file.listed()}")
    return file.columns[name]


def _undecided(spec: DatasetSpec, file: FeatureFile, option: str, several: list[str]) -> InputError:
    if not several:
        return spec.error(f"{file.path} has no {_WORDS[option]}; it holds {file.listed()}")
    return spec.error(f"say which column holds the {option} with ?{option}=NAME, one of {', '.join(several)}")
