"""Logit adjustment and balanced softmax: the class prior added to the logits in training.

Sources: Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021; Ren et al., "Balanced Meta-Softmax for
Long-Tailed Visual Recognition", NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from features.infrastructure.errors import InputError
from finetune.losses.class_balanced import softmax_loss
from finetune.losses.class_weights import class_counts
from finetune.losses.long_tail_loss import LongTailLoss
from finetune.losses.loss import Loss, LossOptions


def log_prior(counts: ArrayLike, *, classes: Sequence[str] | None = None) -> NDArray[np.float64]:
    """log π, where π are the classes' shares of the training images; (C,) float64. Raises as :func:`class_counts`."""
    values = class_counts(counts, classes)
    return np.log(values) - np.log(values.sum())


class LogitAdjustedLoss(LongTailLoss):
    """Cross-entropy of z + τ·log π; at test time the logits z are not adjusted.

    The arguments are those of :func:`log_prior`, and τ ≥ 0, of which 0 is plain cross-entropy; a negative one raises
    ``InputError``.
    """

    offset: Tensor

    def __init__(
        self, counts: ArrayLike, tau: float = LossOptions.tau, *, classes: Sequence[str] | None = None
    ) -> None:
        prior = log_prior(counts, classes=classes)
        if not 0 <= tau < np.inf:
            raise InputError(f"`tau` {tau}: expected at least 0")
        super().__init__(len(prior))
        self._class_buffer("offset", float(tau) * prior)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits, target = self._checked(logits, target)
        return softmax_loss(logits + self.offset.to(logits), target)


BALANCED_SOFTMAX = Loss(
    "balanced-softmax",
    "softmax loss with the log of the class counts added to the logits in training",
    # z + log n: adjustment at τ = 1, because a softmax does not change if all logits are shifted
    lambda counts, _, classes: LogitAdjustedLoss(counts, 1.0, classes=classes),
    balanced=True,
)
LOGIT_ADJUSTED = Loss(
    "logit-adjusted",
    "softmax loss with τ times the log of the class priors added to the logits in training (`tau`)",
    lambda counts, options, classes: LogitAdjustedLoss(counts, options.tau, classes=classes),
    frozenset({"tau"}),
    balanced=True,
)
