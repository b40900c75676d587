"""Logit adjustment and balanced softmax: the class prior inside the softmax, or taken off afterwards.

Sources: Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021; Ren et al., "Balanced
Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from features.infrastructure.errors import InputError
from finetune.losses.base import LongTailLoss, Loss, in_float32
from finetune.losses.class_balanced import softmax_loss
from finetune.losses.class_weights import class_counts
from finetune.losses.options import LossOptions


def log_prior(counts: ArrayLike, *, classes: Sequence[str] | None = None) -> NDArray[np.float64]:
    """log π, π being the classes' shares of the training images; (C,) float64.

    Raises:
        ValueError: ``counts`` is not a vector of counts.
        InputError: A class has no image.
    """
    values = class_counts(counts, classes)
    return np.log(values) - np.log(values.sum())


def adjust_logits(
    logits: Tensor, counts: ArrayLike, tau: float = LossOptions.tau, *, classes: Sequence[str] | None = None
) -> Tensor:
    """Post-hoc logit adjustment z − τ·log π, for a model that was trained with plain cross-entropy.

    Args:
        logits: (…, C) of the trained model.
        counts: (C,) training images of each class.
        tau: τ; 0 leaves the logits as they are, 1 assumes a test set with equal classes.
        classes: (C,) names for messages.

    Returns:
        The shape of ``logits``, at least float32.

    Raises:
        ValueError: ``counts`` has another length than the last axis of ``logits``.
        InputError: A class has no image, or ``tau`` is negative.
    """
    prior = torch.as_tensor(log_prior(counts, classes=classes)).to(in_float32(logits))
    if logits.shape[-1] != len(prior):
        raise ValueError(
            f"logits must end in one column for each of the {len(prior)} counts, got {tuple(logits.shape)}"
        )
    return in_float32(logits) - _checked_tau(tau) * prior


class LogitAdjustedLoss(LongTailLoss):
    """Cross-entropy of z + τ·log π; at test time the logits are used as they are.

    Args:
        counts: (C,) training images of each class.
        tau: τ ≥ 0; 0 is plain cross-entropy.
        classes: (C,) names for messages.

    Raises:
        ValueError: ``counts`` is not a vector of counts.
        InputError: A class has no image, or ``tau`` is negative.
    """

    offset: Tensor

    def __init__(
        self, counts: ArrayLike, tau: float = LossOptions.tau, *, classes: Sequence[str] | None = None
    ) -> None:
        prior = log_prior(counts, classes=classes)
        super().__init__(len(prior))
        self.tau = _checked_tau(tau)
        self._class_buffer("offset", self.tau * prior)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) and class indices (B,) or proportions (B, C), a scalar."""
        logits, target = self._checked(logits, target)
        return softmax_loss(logits + self.offset.to(logits), target)


class BalancedSoftmaxLoss(LogitAdjustedLoss):
    """Cross-entropy of z + log n: logit adjustment at τ = 1, since a softmax does not see a shift.

    Args:
        counts: (C,) training images of each class.
        classes: (C,) names for messages.
    """

    def __init__(self, counts: ArrayLike, *, classes: Sequence[str] | None = None) -> None:
        super().__init__(counts, tau=1.0, classes=classes)


def _checked_tau(tau: float) -> float:
    if not 0 <= tau < np.inf:
        raise InputError(f"tau must be at least 0, got {tau}")
    return float(tau)


BALANCED_SOFTMAX = Loss(
    "balanced-softmax",
    "softmax loss with the log of the class counts added to the logits in training",
    lambda counts, options, classes: BalancedSoftmaxLoss(counts, classes=classes),
    balanced=True,
)
LOGIT_ADJUSTED = Loss(
    "logit-adjusted",
    "softmax loss with τ times the log of the class priors added to the logits in training (`tau`)",
    lambda counts, options, classes: LogitAdjustedLoss(counts, options.tau, classes=classes),
    frozenset({"tau"}),
    balanced=True,
)
