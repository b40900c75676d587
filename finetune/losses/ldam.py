"""Label-distribution-aware margins, with or without deferred re-weighting.

Source: Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with
Label-Distribution-Aware Margin Loss", NeurIPS 2019, and the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from features.infrastructure.errors import InputError
from finetune.losses.base import LongTailLoss, Loss, checked_target, checked_weight, in_float32
from finetune.losses.class_balanced import softmax_loss
from finetune.losses.class_weights import class_balanced_weights, class_counts
from finetune.losses.options import LossOptions

#: Share of the training before deferred re-weighting: the authors' epoch 160 of 200.
DEFERRED = 0.8


def ldam_margins(
    counts: ArrayLike, max_margin: float = LossOptions.margin, *, classes: Sequence[str] | None = None
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
    logits: Tensor,
    target: Tensor,
    margins: Tensor,
    scale: float = LossOptions.scale,
    weight: Tensor | None = None,
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

    Raises:
        ValueError: Target, margins, weight and logits do not fit, or the target is soft: a margin is one class's.
    """
    target = checked_target(logits, target)
    if target.ndim != 1:
        raise ValueError(f"ldam loss needs one class a sample, target of shape (B,), got {tuple(target.shape)}")
    wide = in_float32(logits)
    margin = checked_weight("margins", margins, logits.shape[1]).to(wide)[target][:, None]
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
        max_margin: float = LossOptions.margin,
        scale: float = LossOptions.scale,
        weight: ArrayLike | None = None,
        deferred: float = DEFERRED,
        classes: Sequence[str] | None = None,
    ) -> None:
        margins = ldam_margins(counts, max_margin, classes=classes)
        if not 0 < scale < np.inf:
            raise InputError(f"scale must be positive, got {scale}")
        weights = np.ones_like(margins) if weight is None else np.asarray(weight, dtype=np.float64)
        if weights.shape != margins.shape:
            raise ValueError(f"weight must have shape {margins.shape}, one number a class, got {weights.shape}")
        if not ((weights >= 0) & (weights < np.inf)).all():
            raise ValueError("weight must be finite and not negative")
        super().__init__(len(margins), None if weight is None else deferred)
        self.scale = scale
        self._class_buffer("margins", margins)
        self._class_buffer("weight", weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of cosines (B, C) and class indices (B,), a scalar."""
        logits, target = self._checked(logits, target)
        return ldam_loss(logits, target, self.margins, self.scale, self.weight if self.reweighting else None)

    def extra_repr(self) -> str:
        return f"n_classes={self.n_classes}, scale={self.scale}, deferred={self.deferred}"


def _build(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
    return LDAMLoss(counts, max_margin=options.margin, scale=options.scale, classes=classes)


def _build_reweighted(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
    return LDAMLoss(
        counts,
        max_margin=options.margin,
        scale=options.scale,
        weight=class_balanced_weights(counts, options.beta, classes=classes),
        deferred=DEFERRED if options.deferred is None else options.deferred,
        classes=classes,
    )


LDAM = Loss(
    "ldam",
    "softmax loss on a cosine classifier with larger margins for rarer classes (`margin`, `scale`)",
    _build,
    frozenset({"margin", "scale"}),
    soft_labels=False,
    cosine_classifier=True,
)
LDAM_DRW = replace(
    LDAM,
    name="ldam-drw",
    meaning="ldam with class-balanced weights late in the training (`deferred`, `beta`)",
    build=_build_reweighted,
    options=LDAM.options | {"beta", "deferred"},
    balanced=True,
)
