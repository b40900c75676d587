"""Which classes of a dataset are which classes of a model: by their names, or else by their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.infrastructure.console import console, say_once
from features.infrastructure.errors import InputError
from features.readers.class_names import number_in


def match_classes(
    dataset: ImageDataset, classes: Sequence[str], numbers: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """(C′,) int64: the position in ``classes`` (C,) of each of the C′ classes of ``dataset``, −1 for one not in there.

    Classes have one name in both. If the files of one of them name no class (``class_7`` says only the number), classes
    are matched by their numbers; ``numbers`` (C,) are those of ``classes``.
    """
    position = {name: i for i, name in enumerate(classes)}
    found = np.array([position.get(name, -1) for name in dataset.classes], dtype=np.int64)
    mine, theirs = _numbers_in(dataset.classes), _numbers_in(classes)
    if (found < 0).all() and (mine or theirs):
        mine, theirs = mine or dataset.numbers or (), theirs or numbers or ()
        if mine and set(mine) <= set(theirs):
            console.print(f"{dataset.spec}: classes without names in one of the files are matched by their numbers")
            of_number = {number: i for i, number in enumerate(theirs)}
            return np.array([of_number[number] for number in mine], dtype=np.int64)
    return found


def align_classes(
    dataset: ImageDataset, classes: Sequence[str], numbers: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """The positions of :func:`match_classes`; a line on standard error says which classes have no image.

    Raises:
        InputError: A class of ``dataset`` is not in ``classes``.
    """
    found = match_classes(dataset, classes, numbers)
    unknown = [dataset.classes[i] for i in np.flatnonzero(found < 0)]
    if unknown:
        unnamed = _numbers_in(dataset.classes) or _numbers_in(classes)
        raise InputError(
            f"{dataset.spec}: class {unknown[0]!r} is not one of the {len(classes)} classes of the training "
            f"({len(unknown)} of {len(dataset.classes)} are not); give images of those classes"
            + ("; the files of one dataset name no class: add ?names=FILE to its list" if unnamed else "")
        )
    judged = np.isin(np.arange(len(classes)), found[dataset.counts > 0])
    if not judged.all():
        without = classes[int(judged.argmin())]
        say_once(
            f"{dataset.spec}: has images of {judged.sum()} of the {len(classes)} classes of the training, none of "
            f"{without!r}; its figures say nothing of the others"
        )
    return found


def _numbers_in(names: Sequence[str]) -> Sequence[int]:
    """The numbers in the names of classes that say no more; empty if one of them is a name."""
    found = [number for number in map(number_in, names) if number is not None]
    return found if len(found) == len(names) else ()
