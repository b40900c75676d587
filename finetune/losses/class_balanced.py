"""Softmax, sigmoid and focal loss, plain or with class-balanced weights.

Source: Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, section 4,
and the authors' code.

The three functions take ``logits`` (B, C), a ``target`` of (B,) class indices or (B, C) proportions t whose rows sum to
1, and a ``weight`` of (C,) class weights w, or None for ones. The ``normalization`` is the divisor of the weighted sum
of the samples' losses: ``"paper"`` the number of samples B; ``"pytorch"`` the sum of the samples' weights, as in
``torch.nn.CrossEntropyLoss(weight=…)`` for class indices. It applies to soft labels too, for which PyTorch itself
divides by B, so one-hot proportions and class indices give one value. If several processes share a batch, it is the
mean of their sums, so the mean of their losses is the loss of the whole batch.

They return a scalar of at least float32, and raise ``ValueError`` if target, weight and logits do not fit or the
normalization is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from features.infrastructure.errors import InputError
from features.infrastructure.processes import mean_over_processes
from finetune.losses.class_weights import class_balanced_weights, effective_number
from finetune.losses.long_tail_loss import LongTailLoss, checked_target, checked_weight, in_float32
from finetune.losses.loss import Beta, Loss, LossOptions, Normalization

Kind = Literal["softmax", "sigmoid", "focal"]


def softmax_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, normalization: Normalization = "paper"
) -> Tensor:
    """Weighted softmax cross-entropy Σ_i Σ_c w_c·t_ic·(−log p_ic), normalised; arguments as in the module."""
    target = checked_target(logits, target)
    surprise = -F.log_softmax(in_float32(logits), dim=1)
    if target.ndim == 1:
        # gather instead of F.cross_entropy, which silently ignores the label −100
        return _mean(surprise.gather(1, target[:, None])[:, 0], logits, target, weight, normalization)
    factor = 1.0 if weight is None else checked_weight("weight", weight, logits.shape[1]).to(surprise)
    losses = (surprise * target * factor).sum(dim=1)
    return _mean(losses, logits, target, weight, normalization, weighted=True)


def sigmoid_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, normalization: Normalization = "paper"
) -> Tensor:
    """Binary cross-entropy summed over all C logits, weighted by the weight of the sample's true class, normalised.

    Arguments are as in the module; with proportions the weight of a sample is Σ_c w_c·t_c.
    """
    target = checked_target(logits, target)
    wide = in_float32(logits)
    hot = target if target.ndim == 2 else F.one_hot(target, logits.shape[1]).to(wide)
    losses = F.binary_cross_entropy_with_logits(wide, hot, reduction="none").sum(dim=1)
    return _mean(losses, logits, target, weight, normalization)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    gamma: float = LossOptions.gamma,
    normalization: Normalization = "paper",
) -> Tensor:
    """Sigmoid-based focal loss: each binary cross-entropy times exp(−γ·y·z − γ·log(1 + e^(−z))), normalised.

    y is 1 for the true class and 0 for the others, z is the logit. There is no α; γ = 0 is :func:`sigmoid_loss`.
    Arguments are as in the module, but for class indices only: between y = 0 and y = 1 the modulator has no accepted
    meaning. Raises ``ValueError`` also if ``gamma``, γ, is negative.
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"`gamma` must be at least 0, got {gamma}")
    target = checked_target(logits, target)
    if target.ndim != 1:
        raise ValueError(f"focal loss needs one class a sample, `target` of shape (B,), got {tuple(target.shape)}")
    wide = in_float32(logits)
    # s = −z for the true class and z for the others: the modulator σ(s)^γ and the cross-entropy −log σ(−s) are one
    # expression in both cases, and neither subtracts large numbers.
    turned = torch.where(F.one_hot(target, logits.shape[1]).bool(), -wide, wide)
    losses = (torch.exp(gamma * F.logsigmoid(turned)) * F.softplus(turned)).sum(dim=1)
    return _mean(losses, logits, target, weight, normalization)


def _mean(
    losses: Tensor,
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    normalization: Normalization,
    weighted: bool = False,
) -> Tensor:
    """The samples' losses (B,), multiplied by their weights unless ``weighted``, summed and normalised."""
    _check_normalization(normalization)
    divisor: Tensor | float = float(len(target)) if target.ndim == 1 else target.sum()
    if weight is not None:
        weight = checked_weight("weight", weight, logits.shape[1]).to(losses)
        # With proportions no matrix product, which autocast would take to half precision.
        weights = weight[target] if target.ndim == 1 else (target * weight).sum(dim=1)
        losses = losses if weighted else losses * weights
        if normalization == "pytorch":
            divisor = mean_over_processes(weights.sum())
    return losses.sum() / divisor


def _check_normalization(normalization: str) -> None:
    known = get_args(Normalization)
    if normalization not in known:
        raise ValueError(f"`normalization` must be one of {', '.join(known)}, got {normalization!r}")


def prior_bias(n_classes: int) -> float:
    """The bias −log(C − 1) with which every sigmoid starts at 1/C; raises ``ValueError`` for fewer than two classes.

    >>> round(prior_bias(100), 4)
    -4.5951
    """
    if n_classes < 2:
        raise ValueError(f"`n_classes` must be at least 2, got {n_classes}")
    return -math.log(n_classes - 1) if n_classes > 2 else 0.0


class ClassBalancedLoss(LongTailLoss):
    """Softmax, sigmoid or focal loss with the class-balanced weights of the whole training set.

    Args:
        counts, beta, classes: As of :func:`class_balanced_weights`; β = 0 is the plain loss.
        kind: ``"softmax"``, ``"sigmoid"`` or ``"focal"``.
        gamma: γ of the focal loss; the others do not read it.
        normalization: As in the module.
        deferred: Share of the training after which the weights are switched on; 0 for always.

    Raises:
        ValueError: ``kind`` or ``normalization`` is unknown, or ``counts`` is not a vector of counts.
        InputError: A class has no image, ``beta`` is outside [0, 1), or ``gamma`` is negative.

    >>> loss = ClassBalancedLoss([500, 50, 5], beta=0.999)
    >>> loss(torch.zeros(2, 3), torch.tensor([0, 2])).shape
    torch.Size([])
    """

    weight: Tensor

    def __init__(
        self,
        counts: ArrayLike,
        beta: Beta = LossOptions.beta,
        kind: Kind = "softmax",
        gamma: float = LossOptions.gamma,
        normalization: Normalization = LossOptions.normalization,
        *,
        deferred: float = 0.0,
        classes: Sequence[str] | None = None,
    ) -> None:
        if kind not in get_args(Kind):
            raise ValueError(f"`kind` must be one of {', '.join(get_args(Kind))}, got {kind!r}")
        _check_normalization(normalization)
        if not 0 <= gamma < math.inf:
            raise InputError(f"`gamma` {gamma}: expected at least 0")
        weights = class_balanced_weights(counts, beta, classes=classes)
        super().__init__(len(weights), deferred or None)
        self.kind = kind
        self.gamma = gamma
        self.normalization: Normalization = normalization
        self.sigmoid = kind != "softmax"
        self.soft_labels = kind != "focal"
        self._class_buffer("weight", weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits, target = self._checked(logits, target)
        weight = self.weight if self.reweighting else None
        if self.kind == "focal":
            return focal_loss(logits, target, weight, self.gamma, self.normalization)
        function = softmax_loss if self.kind == "softmax" else sigmoid_loss
        return function(logits, target, weight, self.normalization)


def _rows(kind: Kind, plain: str, balanced: str) -> tuple[Loss, Loss]:
    """The rows of a loss without class weights and with them, from their meanings."""

    def build(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
        ones = np.ones_like(effective_number(counts, 0.0))  # checks the counts; classes may be empty
        return ClassBalancedLoss(ones, 0.0, kind, options.gamma, classes=classes)

    def build_balanced(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
        weights = (options.beta, kind, options.gamma, options.normalization)
        return ClassBalancedLoss(counts, *weights, deferred=options.deferred or 0.0, classes=classes)

    facts = {"sigmoid": kind != "softmax", "soft_labels": kind != "focal"}
    reads = frozenset({"gamma"} if kind == "focal" else ())
    weighted = reads | {"beta", "normalization", "deferred"}
    return (
        Loss(kind, plain, build, reads, **facts),
        Loss(f"cb-{kind}", balanced, build_balanced, weighted, balanced=True, **facts),
    )


SOFTMAX, CB_SOFTMAX = _rows(
    "softmax",
    "softmax cross-entropy",
    "softmax loss, each class weighted by the inverse of its effective number of images (`beta`)",
)
SIGMOID, CB_SIGMOID = _rows(
    "sigmoid",
    "binary cross-entropy, summed over the classes",
    "class-weighted sigmoid, with the weights of cb-softmax (`beta`)",
)
FOCAL, CB_FOCAL = _rows(
    "focal",
    "sigmoid loss that discounts well-classified examples (`gamma`)",
    "class-weighted focal loss, with the weights of cb-softmax (`beta`, `gamma`)",
)
