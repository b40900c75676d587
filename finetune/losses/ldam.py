"""Label-distribution-aware margins (LDAM), with or without deferred re-weighting (DRW).

Source: Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
NeurIPS 2019, and the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from features.infrastructure.errors import InputError
from finetune.losses.class_balanced import softmax_loss
from finetune.losses.class_weights import class_balanced_weights, class_counts
from finetune.losses.long_tail_loss import LongTailLoss, checked_target, checked_weight, in_float32
from finetune.losses.loss import Beta, Loss, LossOptions

#: Share of the training before the weights are switched on: the authors' epoch 160 of 200.
DEFERRED = 0.8


def ldam_margins(
    counts: ArrayLike, margin: float = LossOptions.margin, *, classes: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Margins m_j ∝ n_j^(−1/4), scaled so that the largest is ``margin``; (C,) float64.

    Raises as :func:`class_counts`, and ``InputError`` if ``margin`` is not positive.

    >>> ldam_margins([10000, 1]).tolist()
    [0.05, 0.5]
    """
    if not 0 < margin < np.inf:
        raise InputError(f"`margin` {margin}: expected a positive number")
    values = class_counts(counts, classes)
    return margin * (values / values.min()) ** -0.25


def ldam_loss(
    logits: Tensor,
    target: Tensor,
    margins: Tensor,
    scale: float = LossOptions.scale,
    weight: Tensor | None = None,
) -> Tensor:
    """Weighted mean of the cross-entropy of scale·(z − m_y on the true logit) (eq. 12 of the paper), a scalar.

    ``logits`` are (B, C) cosines z in [−1, 1], ``target`` (B,) class indices y, ``margins`` (C,) those of
    :func:`ldam_margins`, and ``weight`` (C,) class weights or None. As in the authors' code, the divisor is the sum of
    the samples' weights. Raises ``ValueError`` if they do not fit, or the target is soft: a margin belongs to one
    class.
    """
    target = checked_target(logits, target)
    if target.ndim != 1:
        raise ValueError(f"ldam loss needs one class a sample, `target` of shape (B,), got {tuple(target.shape)}")
    wide = in_float32(logits)
    margin = checked_weight("margins", margins, logits.shape[1]).to(wide)[target][:, None]
    enforced = scale * wide.scatter_add(1, target[:, None], -margin)
    return softmax_loss(enforced, target, weight, "pytorch")


class LDAMLoss(LongTailLoss):
    """LDAM over the logits of a cosine classifier, with class-balanced weights that may be deferred.

    Args:
        counts, margin, classes: As of :func:`ldam_margins`.
        scale: Factor of the cosines, positive.
        beta: β of the class-balanced weights (deferred re-weighting), or None for no weights.
        deferred: Share of the training after which the weights are switched on.
    """

    cosine_classifier = True
    soft_labels = False
    margins: Tensor
    weight: Tensor

    def __init__(
        self,
        counts: ArrayLike,
        *,
        margin: float = LossOptions.margin,
        scale: float = LossOptions.scale,
        beta: Beta | None = None,
        deferred: float = DEFERRED,
        classes: Sequence[str] | None = None,
    ) -> None:
        margins = ldam_margins(counts, margin, classes=classes)
        if not 0 < scale < np.inf:
            raise InputError(f"`scale` {scale}: expected a positive number")
        weights = class_balanced_weights(counts, 0.0 if beta is None else beta, classes=classes)
        super().__init__(len(margins), None if beta is None else deferred)
        self.scale = scale
        self._class_buffer("margins", margins)
        self._class_buffer("weight", weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits, target = self._checked(logits, target)
        return ldam_loss(logits, target, self.margins, self.scale, self.weight if self.reweighting else None)


def _build(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None, **weights: Any) -> LongTailLoss:
    return LDAMLoss(counts, margin=options.margin, scale=options.scale, classes=classes, **weights)


def _build_drw(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
    deferred = DEFERRED if options.deferred is None else options.deferred
    return _build(counts, options, classes, beta=options.beta, deferred=deferred)


LDAM = Loss(
    "ldam",
    "softmax loss on a cosine classifier, with larger margins for rarer classes (`margin`, `scale`)",
    _build,
    frozenset({"margin", "scale"}),
    soft_labels=False,
    cosine_classifier=True,
)
LDAM_DRW = replace(
    LDAM,
    name="ldam-drw",
    meaning="LDAM with class-balanced weights late in the training (`deferred`, `beta`)",
    build=_build_drw,
    options=LDAM.options | {"beta", "deferred"},
    balanced=True,
)
