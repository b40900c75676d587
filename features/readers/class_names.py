"""Class names for datasets whose files repeat names or have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from features.dataset_spec import DatasetSpec
from features.readers.checks import existing_file, expanded, numbered_lines

#: Digits of the largest label; larger ones overflow int64.
_DIGITS = 18


def distinct_names(names: Sequence[str], keys: Iterable[object]) -> tuple[str, ...]:
    """Return ``names``, with its key appended to each name that occurs more than once.

    >>> distinct_names(["crane", "goose", "crane"], [134, 99, 517])
    ('crane (134)', 'goose', 'crane (517)')
    """
    times = Counter(names)
    return tuple(name if times[name] == 1 else f"{name} ({key})" for name, key in zip(names, keys, strict=True))


def sorted_classes(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the different names in sorted order, and the position of each name's among them, (N,) int64.

    An array of texts would have the width of the longest one in each of its N entries.

    >>> sorted_classes(["owl", "hen", "owl"])
    (('hen', 'owl'), array([1, 0, 1]))
    """
    place: dict[str, int] = {}
    codes = np.fromiter((place.setdefault(name, len(place)) for name in names), dtype=np.int64, count=len(names))
    classes = sorted(place)
    order = np.empty(len(classes), dtype=np.int64)
    order[[place[name] for name in classes]] = np.arange(len(classes))
    return tuple(classes), order[codes]


def numbered_names(values: Iterable[int]) -> tuple[str, ...]:
    """Make names for labels without a name.

    >>> numbered_names([0, 7])
    ('class_0', 'class_7')
    """
    return tuple(f"class_{value}" for value in values)


def number_in(name: str) -> int | None:
    """Return the label that :func:`numbered_names` made a name for; None for other names."""
    number = name.removeprefix("class_")
    return int(number) if name.startswith("class_") and number.isdecimal() and len(number) <= _DIGITS else None


def names_in_file(spec: DatasetSpec, values: Sequence[int]) -> tuple[str, ...]:
    """Return line ``label`` + 1 of the file of the option ``names`` for each label; raise `InputError` without one."""
    path = existing_file(spec, expanded(spec.options["names"]), "a text file with one class name a line")
    names = [line for _, line in numbered_lines(spec, path)]
    if all(line.split()[0] == str(i) and len(line.split()) > 1 for i, line in enumerate(names)):
        names = [line.split(maxsplit=1)[1] for line in names]  # lines that repeat their number
    if len(values) and max(values) >= len(names):
        raise spec.error(f"{path} has {len(names)} names, but a label is {max(values)}")
    return distinct_names([names[value] for value in values], values)


def folder_names(paths: Iterable[str], labels: NDArray, values: Sequence[int]) -> tuple[str, ...]:
    """Name each class after the folder of its images.

    The name is the last component of the folder, or the whole path if last components repeat. If classes and folders
    are not one-to-one, names are ``class_<value>``. ``paths`` are N POSIX paths, ``labels`` (N,) 0 to C − 1, each
    present, and ``values`` the number of each of the C classes in the file.

    >>> import numpy as np
    >>> folder_names(["train/hen/1.jpg", "train/owl/1.jpg"], np.array([0, 1]), [3, 8])
    ('hen', 'owl')
    """
    folders: list[str | None] = [None] * len(values)
    for path, label in zip(paths, labels.tolist(), strict=True):
        folder = path.rpartition("/")[0]
        if folders[label] is None:
            folders[label] = folder
        elif folders[label] != folder:
            return numbered_names(values)
    whole = [folder or "" for folder in folders]
    for names in ([folder.rpartition("/")[2] for folder in whole], whole):
        if "" not in names and len(set(names)) == len(names):
            return tuple(names)
    return numbered_names(values)
