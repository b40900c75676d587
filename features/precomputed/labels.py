"""Classes and labels from one text or whole number a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset_spec import DatasetSpec
from features.precomputed.columns import values_of
from features.precomputed.feature_file import FeatureFile
from features.readers.class_names import distinct_names, names_in_file, numbered_names

Labels = tuple[tuple[str, ...], NDArray[np.int64], "tuple[int, ...] | None"]


def classes_of(spec: DatasetSpec, file: FeatureFile, values: NDArray[Any] | list[str]) -> Labels:
    """Return the class names, the label of each row, and the number of each class in the file if it has numbers.

    Texts are names; classes are sorted by them, or as in the bank that the file was written from. Whole numbers are
    named ``class_<number>``, or by the option ``names``, an array of the file or a text file with one name a line.

    Raises:
        InputError: A number is negative, has no name, or ``names`` is given for texts.
    """
    if isinstance(values, list):
        if "names" in spec.options:
            raise spec.error(
                "names=… names classes that are whole numbers; these labels are names already, leave it out"
            )
        names, labels = _coded(values)
        order = _order(names, file.provenance.get("classes"))
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        return tuple(names[i] for i in order), place[labels], None
    if len(values) and values.min() < 0:
        row = int(np.argmax(values < 0))
        raise spec.error(f"row {row} has the label {values[row]}; expected whole numbers of at least 0")
    numbers, labels = np.unique(values, return_inverse=True)
    found = tuple(map(int, numbers.tolist()))
    return _names(spec, file, found), labels.astype(np.int64), found


def _names(spec: DatasetSpec, file: FeatureFile, numbers: Sequence[int]) -> tuple[str, ...]:
    """The names of classes that are numbers."""
    given = spec.options.get("names")
    if given is None:
        return numbered_names(numbers)
    if given not in file.columns:
        return names_in_file(spec, numbers)
    names = values_of(spec, file, "names", given, file.columns[given].rows)
    if max(numbers) >= len(names):
        raise spec.error(f"names={given} holds {len(names)} names, but a label is {max(numbers)}")
    return distinct_names([str(names[number]) for number in numbers], numbers)


def _coded(values: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The different texts in the order of their first rows, and the position of each row's among them."""
    place: dict[str, int] = {}
    codes = np.fromiter((place.setdefault(value, len(place)) for value in values), dtype=np.int64, count=len(values))
    return list(place), codes


def _order(names: Sequence[str], known: object) -> list[int]:
    """The order of the classes: that of the bank that the file was written from, if it knows all; else by name."""
    if isinstance(known, list) and set(names) <= set(known):
        place = {name: i for i, name in enumerate(known)}
        return sorted(range(len(names)), key=lambda i: place[names[i]])
    return sorted(range(len(names)), key=names.__getitem__)
