"""Label-distribution-aware margins, with or without deferred re-weighting.

Source: Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with
Label-Distribution-Aware Margin Loss", NeurIPS 2019, and the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from features.errors import InputError
from finetune.losses.base import LongTailLoss, in_float32
from finetune.losses.class_balanced import softmax_loss
from finetune.losses.weights import class_counts


def ldam_margins(
    counts: ArrayLike, max_margin: float = 0.5, *, classes: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Margins m_j ∝ n_j^(−1/4), scaled so that the largest is ``max_margin``; (C,) float64.

    Raises:
        ValueError: ``counts`` is not a vector of counts.
        InputError: A class has no image, or ``max_margin`` is not positive.

    >>> ldam_margins([10000, 1]).tolist()
    [0.05, 0.5]
    """
    if not 0 < max_margin < np.inf:
        raise InputError(f"max_margin must be positive, got {max_margin}")
    values = class_counts(counts, classes)
    return max_margin * (values / values.min()) ** -0.25


def ldam_loss(
    logits: Tensor, target: Tensor, margins: Tensor, scale: float = 30.0, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy of scale·(z − m_y on the true logit), its weighted mean (eq. 12 of the paper).

    Args:
        logits: (B, C) cosines in [−1, 1].
        target: (B,) class indices.
        margins: (C,) from :func:`ldam_margins`.
        scale: What the logits are multiplied by, once the margin is off.
        weight: (C,) class weights, or None. The sum is divided by the sum of the samples' weights,
            as in the authors' code.

    Returns:
        A scalar, at least float32.
    """
    wide = in_float32(logits)
    margin = margins.to(wide)[target][:, None]
    enforced = scale * wide.scatter_add(1, target[:, None], -margin)
    return softmax_loss(enforced, target, weight, "pytorch")


class LDAMLoss(LongTailLoss):
    """LDAM over the logits of a cosine classifier, with class weights that may be switched on late.

    Args:
        counts: (C,) training images of each class.
        max_margin: The margin of the rarest class.
        scale: What the cosines are multiplied by.
        weight: (C,) class weights for deferred re-weighting (DRW), such as
            :func:`finetune.losses.class_balanced_weights` at β = 0.9999, or None for no weights.
        deferred: The share of the training after which the weights count, told by
            :meth:`set_progress`; 0.8 is the authors' epoch 160 of 200. Without ``weight`` it is moot.
        classes: (C,) names for messages.

    Raises:
        ValueError: ``counts`` is not a vector of counts, or ``weight`` has another length.
        InputError: A class has no image, or a number is out of range.
    """

    cosine_classifier = True
    soft_labels = False
    margins: Tensor
    weight: Tensor

    def __init__(
        self,
        counts: ArrayLike,
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        weight: ArrayLike | None = None,
        deferred: float = 0.8,
        classes: Sequence[str] | None = None,
    ) -> None:
        margins = ldam_margins(counts, max_margin, classes=classes)
        if not 0 < scale < np.inf:
            raise InputError(f"scale must be positive, got {scale}")
        if not 0 <= deferred <= 1:
            raise InputError(f"deferred must be a share of the training in [0, 1], got {deferred}")
        weights = np.ones_like(margins) if weight is None else np.asarray(weight, dtype=np.float64)
        if weights.shape != margins.shape:
            raise ValueError(f"weight must have shape {margins.shape}, one number a class, got {weights.shape}")
        super().__init__(len(margins))
        self.scale = scale
        self.deferred = None if weight is None else deferred
        self.reweighting = self.deferred == 0
        self._class_buffer("margins", margins)
        self._class_buffer("weight", weights)

    def set_progress(self, progress: float) -> None:
        """Switch the class weights on from the share ``deferred`` of the training onwards, and off before it."""
        if self.deferred is not None:
            self.reweighting = progress >= self.deferred

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of cosines (B, C) and class indices (B,), a scalar."""
        logits, target = self._checked(logits, target)
        return ldam_loss(logits, target, self.margins, self.scale, self.weight if self.reweighting else None)

    def extra_repr(self) -> str:
        return f"n_classes={self.n_classes}, scale={self.scale}, deferred={self.deferred}"
