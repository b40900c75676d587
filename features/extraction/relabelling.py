"""The kept images of a bank under other labels, or fewer of them: a new bank, without a network or a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from features.bank import FeatureBank, Images
from features.class_statistics import ClassStatistics
from features.extraction.shard import KeptFeatures
from features.infrastructure.console import progress
from features.infrastructure.locks import locked

#: Images counted in at a time: few, so that the product of labels and features stays small beside the covariance's.
_BLOCK = 512


def regroup(
    bank: FeatureBank,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    out: Path,
    *,
    attrs: Mapping[str, Any],
    skipped: Sequence[tuple[str, str]] = (),
    keep_images: bool = False,
) -> FeatureBank:
    """Write the bank that the images of another make under new labels.

    One pass over the file, a block in memory at a time besides the sums: C × D and D × D in float64. The figures
    are those of an extraction with the new labels, up to the last digits of float32.

    Args:
        bank: A bank of N images whose features are kept.
        labels: (N,) the new class of each image, 0 to C − 1; −1 leaves it out.
        classes: (C,) names; each has an image.
        out: The new bank's file; one that is there is replaced.
        attrs: What the new bank says of itself in place of the old: at least its dataset and its manifest.
        skipped: Images of the dataset that could not be read, as (id, reason).
        keep_images: Keep the features in the new bank too.

    Raises:
        InputError: The bank keeps no image features, or another process writes ``out``.
        ValueError: There is not one label an image, or a class without an image.
    """
    kept = np.flatnonzero(labels >= 0)
    if len(np.unique(labels[kept])) != len(classes):
        raise ValueError(f"labels must give each of the {len(classes)} classes an image")
    ids = bank.image_labels()[1]
    if len(labels) != len(ids):
        raise ValueError(f"labels must be one an image, got {len(labels)} for {len(ids)}")
    statistics = ClassStatistics(len(classes), bank.means.shape[1])
    with locked(out), ExitStack() as stack:
        features = None
        if keep_images:
            aside = out.with_name(f"{out.name}.features")
            stack.callback(aside.unlink, missing_ok=True)
            features = stack.enter_context(closing(KeptFeatures(aside, bank.means.shape[1], 0)))
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
        images: Images | None = None
        if features is not None:
            images = features.array(), labels[kept], [ids[i] for i in kept]
        return FeatureBank(
            classes=tuple(classes),
            counts=statistics.counts.numpy(),
            means=statistics.means(),
            variances=statistics.variances(),
            within_covariance=statistics.within_covariance(),
            attrs={**bank.attrs, **attrs},
            skipped=tuple(skipped),
        ).write(out, images)
