"""Softmax, sigmoid and focal loss, plain or with class-balanced weights.

Source: Cui et al., CVPR 2019, section 4 and the authors' code. All three functions take logits
(B, C) and a target, and divide the weighted sum of the samples' losses by one of:

``"paper"``
    the number of samples B (for sigmoid and focal: the number of positives, which is B where each
    sample has one class);
``"pytorch"``
    the sum of the samples' weights, as ``torch.nn.CrossEntropyLoss(weight=…)`` does for class
    indices. It is done for soft labels too, where PyTorch itself divides by B, so that one-hot
    proportions and class indices give one value. Of several processes that share a batch, it is the
    mean of their sums: the mean of their losses is then the loss of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from features.infrastructure.errors import InputError
from features.infrastructure.processes import mean_over_processes
from finetune.losses.base import LongTailLoss, Loss, checked_target, checked_weight, in_float32
from finetune.losses.class_weights import class_balanced_weights, effective_number
from finetune.losses.options import Beta, LossOptions, Normalization

Kind = Literal["softmax", "sigmoid", "focal"]


def softmax_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    normalization: Normalization = LossOptions.normalization,
) -> Tensor:
    """Weighted softmax cross-entropy Σ_i Σ_c w_c·t_ic·(−log p_ic), normalised.

    Args:
        logits: (B, C).
        target: (B,) class indices or (B, C) proportions t.
        weight: (C,) class weights, or None for ones.
        normalization: What the sum is divided by; see the module.

    Returns:
        A scalar, at least float32.

    Raises:
        ValueError: Target, weight and logits do not fit, or ``normalization`` is unknown.
    """
    target = checked_target(logits, target)
    surprise = -F.log_softmax(in_float32(logits), dim=1)
    if target.ndim == 1:
        # gather, not F.cross_entropy: that one drops the label −100 in silence
        losses = surprise.gather(1, target[:, None])[:, 0]
        if weight is not None:
            losses = losses * _sample_weights(target, weight, losses, logits.shape[1])
    else:
        factor = 1.0 if weight is None else checked_weight("weight", weight, logits.shape[1]).to(surprise)
        losses = (surprise * target * factor).sum(dim=1)
    return losses.sum() / _divisor(target, weight, losses, logits.shape[1], normalization)


def sigmoid_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    normalization: Normalization = LossOptions.normalization,
) -> Tensor:
    """Binary cross-entropy over all C logits, each weighted by the weight of the sample's true class.

    Args:
        logits: (B, C).
        target: (B,) class indices or (B, C) proportions t; the sample's weight is then Σ_c w_c·t_c.
        weight: (C,) class weights, or None for ones.
        normalization: What the sum is divided by; see the module.

    Returns:
        A scalar, at least float32.

    Raises:
        ValueError: Target, weight and logits do not fit, or ``normalization`` is unknown.
    """
    target = checked_target(logits, target)
    wide = in_float32(logits)
    hot = target if target.ndim == 2 else F.one_hot(target, logits.shape[1]).to(wide)
    losses = F.binary_cross_entropy_with_logits(wide, hot, reduction="none").sum(dim=1)
    if weight is not None:
        losses = losses * _sample_weights(target, weight, losses, logits.shape[1])
    return losses.sum() / _divisor(target, weight, losses, logits.shape[1], normalization)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    gamma: float = LossOptions.gamma,
    normalization: Normalization = LossOptions.normalization,
) -> Tensor:
    """Sigmoid-based focal loss: each binary cross-entropy times exp(−γ·y·z − γ·log(1 + e^(−z))).

    There is no α; γ = 0 is :func:`sigmoid_loss`.

    Args:
        logits: (B, C), z.
        target: (B,) class indices; y is 1 for the true class and 0 for the others.
        weight: (C,) class weights, or None for ones.
        gamma: γ ≥ 0, how much the well-classified are discounted.
        normalization: What the sum is divided by; see the module.

    Returns:
        A scalar, at least float32.

    Raises:
        ValueError: Target, weight and logits do not fit, ``gamma`` is negative, ``normalization`` is unknown, or the
            target is soft: between y = 0 and y = 1 the modulator has no accepted meaning.
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma must be at least 0, got {gamma}")
    target = checked_target(logits, target)
    if target.ndim != 1:
        raise ValueError(f"focal loss needs one class a sample, target of shape (B,), got {tuple(target.shape)}")
    wide = in_float32(logits)
    # s is z turned round for the true class, so the modulator σ(s)^γ and the cross-entropy −log σ(−s)
    # are one expression in both cases, and neither subtracts large numbers.
    turned = torch.where(F.one_hot(target, logits.shape[1]).bool(), -wide, wide)
    losses = (torch.exp(gamma * F.logsigmoid(turned)) * F.softplus(turned)).sum(dim=1)
    if weight is not None:
        losses = losses * _sample_weights(target, weight, losses, logits.shape[1])
    return losses.sum() / _divisor(target, weight, losses, logits.shape[1], normalization)


def prior_bias(n_classes: int) -> float:
    """The bias −log(C − 1) that makes every sigmoid start at 1/C: for sigmoid and focal loss.

    Raises:
        ValueError: There are fewer than two classes.

    >>> round(prior_bias(100), 4)
    -4.5951
    """
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2, got {n_classes}")
    return -math.log(n_classes - 1) if n_classes > 2 else 0.0


class ClassBalancedLoss(LongTailLoss):
    """Softmax, sigmoid or focal loss with the class-balanced weights of the whole training set.

    Args:
        counts: (C,) training images of each class.
        beta: In [0, 1), or "auto"; 0 is the plain loss.
        kind: ``"softmax"``, ``"sigmoid"`` or ``"focal"``.
        gamma: γ of the focal loss; the others have no use for it.
        normalization: ``"paper"`` divides by the batch size, ``"pytorch"`` by the sum of weights.
        deferred: The share of the training after which the weights count, told by :meth:`set_progress`; 0 from the
            start.
        classes: (C,) names for messages.

    Raises:
        ValueError: ``kind`` or ``normalization`` is unknown, ``counts`` is not a vector of counts.
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
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
        _check_normalization(normalization)
        if not 0 <= gamma < math.inf:
            raise InputError(f"gamma must be at least 0, got {gamma}")
        weights = class_balanced_weights(counts, beta, classes=classes)
        super().__init__(len(weights), deferred or None)
        self.kind = kind
        self.gamma = gamma
        self.normalization: Normalization = normalization
        self.sigmoid = kind != "softmax"
        self.soft_labels = kind != "focal"
        self._class_buffer("weight", weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) and class indices (B,) or proportions (B, C), a scalar."""
        logits, target = self._checked(logits, target)
        weight = self.weight if self.reweighting else None
        if self.kind == "softmax":
            return softmax_loss(logits, target, weight, self.normalization)
        if self.kind == "sigmoid":
            return sigmoid_loss(logits, target, weight, self.normalization)
        return focal_loss(logits, target, weight, self.gamma, self.normalization)


def _check_normalization(normalization: str) -> None:
    if normalization not in get_args(Normalization):
        raise ValueError(f"normalization must be one of {', '.join(get_args(Normalization))}, got {normalization!r}")


def _sample_weights(target: Tensor, weight: Tensor, like: Tensor, n_classes: int) -> Tensor:
    """(B,) the weight of each sample's class, or the mean weight of its proportions."""
    weight = checked_weight("weight", weight, n_classes).to(like)
    # no product of matrices, which autocast would take to half precision
    return weight[target] if target.ndim == 1 else (target * weight).sum(dim=1)


def _divisor(
    target: Tensor, weight: Tensor | None, losses: Tensor, n_classes: int, normalization: Normalization
) -> Tensor | float:
    _check_normalization(normalization)
    if normalization == "pytorch" and weight is not None:
        return mean_over_processes(_sample_weights(target, weight, losses, n_classes).sum())
    return float(len(target)) if target.ndim == 1 else target.sum()


def _row(kind: Kind, meaning: str) -> Loss:
    """The row of a loss without class weights, for which classes may be empty."""

    def build(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
        ones = np.ones_like(effective_number(counts, 0.0))  # which checks the counts
        return ClassBalancedLoss(ones, 0.0, kind, options.gamma, classes=classes)

    reads = frozenset({"gamma"} if kind == "focal" else ())
    return Loss(kind, meaning, build, reads, sigmoid=kind != "softmax", soft_labels=kind != "focal")


def _balanced(plain: Loss, meaning: str) -> Loss:
    """The row of the same loss with class-balanced weights."""

    def build(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
        return ClassBalancedLoss(
            counts,
            options.beta,
            plain.name,  # type: ignore[arg-type]  # the names of the plain losses are the kinds
            options.gamma,
            options.normalization,
            deferred=options.deferred or 0.0,
            classes=classes,
        )

    reads = plain.options | {"beta", "normalization", "deferred"}
    return replace(plain, name=f"cb-{plain.name}", meaning=meaning, build=build, options=reads, balanced=True)


SOFTMAX = _row("softmax", "softmax cross-entropy")
SIGMOID = _row("sigmoid", "binary cross-entropy of each class, summed over the classes")
FOCAL = _row("focal", "sigmoid loss in which well-classified examples count less (`gamma`)")
CB_SOFTMAX = _balanced(SOFTMAX, "softmax loss, each class weighted by the inverse of its effective number (`beta`)")
CB_SIGMOID = _balanced(SIGMOID, "class-weighted sigmoid loss, with the weights of cb-softmax (`beta`)")
CB_FOCAL = _balanced(FOCAL, "class-weighted focal loss, with the weights of cb-softmax (`beta`, `gamma`)")
