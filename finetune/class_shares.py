"""The share of the targets that each source class serves, by which a pre-training draws the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError
from finetune.source_classes import SourceClasses, check_sources, check_unchanged
from similarity.selection.subset import Subset


def class_shares(weights_file: str, source: SourceClasses) -> NDArray[np.float64]:
    """(C,) share of the targets that each class serves, from the column ``weight`` of a subset file.

    A class that is not in the file has the share 0.

    Raises:
        InputError: The file cannot be read, names a class that is not trained on, or lacks a weight; or a source has
            changed since.
    """
    where, subset = f"`class_weights` {weights_file}", Subset.read(weights_file)
    check_sources(subset, [dataset.spec for dataset in source.all_classes], where)
    check_unchanged(source.all_classes, subset, where)
    position = {class_: i for i, class_ in enumerate(source.origin)}
    found = np.zeros(len(source.origin))
    for row in subset.rows:
        if row.weight is None:
            raise InputError(
                f"{where}: class {row.class_name!r} has no weight; choose by a strategy that says how much of the "
                f"target each class serves (see transfer inspect strategies), or write weights into the file"
            )
        if (row.source, row.class_name) not in position:
            raise InputError(
                f"{where}: class {row.class_name!r} of {row.source} is not among those to train on; remove its row, or "
                f"train on it too (with `subset`, its file can give the weights)"
            )
        found[position[row.source, row.class_name]] = row.weight
    if not found.any():
        raise InputError(f"{where}: every weight is 0; give at least one class a weight")
    return found
