"""Class names for readers whose files name a class badly, twice, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from numpy.typing import NDArray


def distinct_names(names: Sequence[str], keys: Iterable[object]) -> tuple[str, ...]:
    """``names``, with the key of the class appended to each name that occurs more than once.

    >>> distinct_names(["crane", "goose", "crane"], [134, 99, 517])
    ('crane (134)', 'goose', 'crane (517)')
    """
    times = Counter(names)
    return tuple(name if times[name] == 1 else f"{name} ({key})" for name, key in zip(names, keys, strict=True))


def numbered_names(values: Iterable[int]) -> tuple[str, ...]:
    """Names for labels that have none.

    >>> numbered_names([0, 7])
    ('class_0', 'class_7')
    """
    return tuple(f"class_{value}" for value in values)


def folder_names(paths: Iterable[str], labels: NDArray, values: Sequence[int]) -> tuple[str, ...]:
    """Name each class after the folder that holds its images, where the two are one-to-one.

    The name is the folder's last component, or its whole path where last components repeat. Where a
    class lies in several folders, or a folder holds several classes, names are ``class_<value>``.

    Args:
        paths: (N,) POSIX paths.
        labels: (N,) integers, 0 to C − 1, each class present.
        values: (C,) the number that the file gives each class.

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
