"""The bank of a source without its copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.dataset import ImageDataset
from features.extraction.relabelling import regroup
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts


def write_clean_bank(
    source: FeatureBank, found: NDArray[np.int64], dataset: ImageDataset, spec: str, out: Location, where: str
) -> None:
    """Write the bank that an extraction of the source without its copies would write; no image is decoded.

    Args:
        source: A bank of N images, extracted with ``keep_images``.
        found: (M,) positions of the copies among its images.
        dataset: The source's dataset without the copies.
        spec: Its dataset spec, which the bank records.
        out: The file.
        where: What messages call the bank.

    Raises:
        InputError: A class would have no readable image, or the other images are not those of ``dataset``.
    """
    labels, ids = source.image_labels()
    position = {name: i for i, name in enumerate(dataset.classes)}
    of_class = np.array([position.get(name, -1) for name in source.classes], dtype=np.int64)
    kept = of_class[labels]
    kept[found] = -1
    left = np.bincount(kept[kept >= 0], minlength=len(dataset.classes))
    if not left.all():
        name = dataset.classes[int(np.argmin(left))]
        raise InputError(f"{where}: class {name!r} has unreadable images only; remove the class")
    unreadable = Texts.of(id_ for id_, _ in source.skipped)
    expected = dataset.ids.take(np.flatnonzero(unreadable.positions(dataset.ids) < 0))
    if ids.take(np.flatnonzero(kept >= 0)) != expected:
        raise InputError(
            f"{where}: {source.path} does not hold the remaining images of {source.name}, perhaps because "
            f"two images have the same id; extract {spec!r} instead"
        )
    attrs = {"dataset": spec, "manifest_sha256": dataset.manifest_sha256}
    regroup(source, kept, dataset.classes, out, attrs=attrs, skipped=source.skipped, keep_images=True)
