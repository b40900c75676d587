"""Class names for datasets whose files repeat names or have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from numpy.typing import NDArray


def distinct_names(names: Sequence[str], keys: Iterable[object]) -> tuple[str, ...]:
    """Return ``names``, with its key appended to each name that occurs more than once.

    >>> distinct_names(["crane", "goose", "crane"], [134, 99, 517])
    ('crane (134)', 'goose', 'crane (517)')
    """
    times = Counter(names)
    return tuple(name if times[name] == 1 else f"{name} ({key})" for name, key in zip(names, keys, strict=True))


def numbered_names(values: Iterable[int]) -> tuple[str, ...]:
    """Make names for labels without a name.

    >>> numbered_names([0, 7])
    ('class_0', 'class_7')
    """
    return tuple(f"class_{value}" for value in values)


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
