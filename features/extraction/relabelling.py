"""Relabelling: a new bank from the kept image features of another, with other labels or fewer images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.class_statistics import ClassStatistics
from features.extraction.shard import Shard
from features.infrastructure.console import progress
from features.infrastructure.disk.locks import locked
from features.infrastructure.storage.addresses import Location, working_file
from features.kept_features import KeptFeatures

#: Images per block: few, so that the product of labels and features stays small beside that of the covariance.
_BLOCK = 512


def regroup(
    bank: FeatureBank,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    out: Location,
    *,
    attrs: Mapping[str, Any],
    skipped: Sequence[tuple[str, str]] = (),
    keep_images: bool = False,
) -> FeatureBank:
    """Write the bank of the same images under new labels to ``out``, and return it.

    It makes one pass over the file. Memory is one block of images, and sums of C × D and D × D in float64. The figures
    agree with an extraction with the new labels up to the last digits of float32.

    Args:
        bank: A bank of N images whose features are kept.
        labels: (N,) the new class of each image, 0 to C − 1; −1 leaves the image out.
        classes: (C,) class names; each class needs an image.
        out: File of the new bank; an existing one is replaced.
        attrs: Attributes that replace those of the old bank: at least the dataset and its manifest.
        skipped: Unreadable images of the dataset, as (id, reason).
        keep_images: Keep the features in the new bank too.

    Raises:
        InputError: The bank keeps no image features, or another process writes ``out``.
        ValueError: The number of labels is not that of the images, or a class has no image.
    """
    import torch

    kept = np.flatnonzero(labels >= 0)
    if len(np.unique(labels[kept])) != len(classes):
        raise ValueError(f"labels must give each of the {len(classes)} classes an image")
    ids = bank.image_labels()[1]
    if len(labels) != len(ids):
        raise ValueError(f"labels must have length {len(ids)}, the number of images, got {len(labels)}")
    statistics = ClassStatistics(len(classes), bank.means.shape[1])
    with locked(out), ExitStack() as stack:
        features = None
        if keep_images:
            kept_aside = KeptFeatures(working_file(out, ".features"), bank.means.shape[1], scratch=True)
            features = stack.enter_context(closing(kept_aside))
        advance = stack.enter_context(progress("class statistics", len(labels)))
        position = 0
        for block in bank.image_blocks(_BLOCK):
            part = labels[position : position + len(block)]
            position += len(part)
            advance(len(part))
            block, part = block[part >= 0], part[part >= 0]
            if len(part):
                statistics.add(torch.from_numpy(block), torch.from_numpy(part))
                if features is not None:
                    features.append(block)
        images = None if features is None else (features.array(), labels[kept], ids.take(kept))
        images_in = range(len(labels))
        whole = Shard({**bank.attrs, **attrs}, tuple(classes), images_in, images_in.stop, statistics, list(skipped))
        return whole.bank().write(out, images)
