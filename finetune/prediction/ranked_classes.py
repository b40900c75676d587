"""The most probable classes of each image, whatever the number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RankedClasses:
    """The K most probable classes of N images.

    Attributes:
        positions: (N,) int64, positions of the images in the dataset.
        classes: (N, K) int32, class numbers, the most probable first; of equal ones the lowest number, as in
            :class:`finetune.evaluation.predictions.Predictions`.
        probabilities: (N, K) float32.
        margins: (N,) float32, the largest probability less the second; that of a single class itself.
    """

    positions: NDArray[np.int64]
    classes: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    margins: NDArray[np.float32]

    @classmethod
    def of(cls, probabilities: Tensor, positions: NDArray[np.int64], top: int) -> RankedClasses:
        """Rank probabilities (N, C) of finite float32 of at least 0, on any device; K is the least of ``top`` and C."""
        n_classes = probabilities.shape[1]
        # Floats of at least 0 are ordered as their bits are. With the class number below these, no two keys are equal,
        # so that topk, which leaves the order of equal values open, has one result.
        keys = probabilities.view(torch.int32).long()
        keys <<= 32  # in place: of a million classes, a copy of a batch takes half a GiB
        keys |= torch.arange(n_classes - 1, -1, -1, device=probabilities.device)
        best = keys.topk(min(max(top, 2), n_classes), dim=1).values
        classes = n_classes - 1 - (best & 0xFFFFFFFF)
        ordered = probabilities.gather(1, classes).cpu().numpy()
        margins = ordered[:, 0] - ordered[:, 1] if n_classes > 1 else ordered[:, 0].copy()
        numbers = classes.to(torch.int32).cpu().numpy()
        return cls(positions, numbers[:, :top].copy(), ordered[:, :top].copy(), margins)

    @classmethod
    def concatenate(cls, parts: Sequence[RankedClasses]) -> RankedClasses:
        """Join the rankings of at least one batch."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))
