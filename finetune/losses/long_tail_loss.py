"""What the modules of all losses share: their attributes, class weights that wait, and the checks of their inputs."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from features.infrastructure.errors import InputError


class LongTailLoss(nn.Module):
    """A loss over logits (B, C) and targets, reduced to a scalar.

    Attributes:
        sigmoid: Whether the score of a class is the sigmoid of its logit instead of a softmax. The classifier's bias
            then starts at :func:`finetune.losses.prior_bias`.
        scale: Factor of the logits before they become probabilities.
        cosine_classifier: Whether the logits are cosines between features and class vectors.
        soft_labels: Whether targets may be class proportions (B, C), as mixup makes them.
        deferred: Share of the training, 0 to 1, after which :meth:`set_progress` switches class weights on (deferred
            re-weighting, Cao et al., NeurIPS 2019, algorithm 1); None if nothing changes during training.
        reweighting: Whether class weights are switched on. A warning says so if they are deferred and nothing sets the
            progress.
    """

    sigmoid: bool = False
    scale: float = 1.0
    cosine_classifier: bool = False
    soft_labels: bool = True

    def __init__(self, n_classes: int, deferred: float | None = None) -> None:
        super().__init__()
        if deferred is not None and not 0 <= deferred <= 1:
            raise InputError(f"`deferred` {deferred}: expected a share of the training from 0 to 1")
        self.n_classes = n_classes
        self.deferred = deferred
        self.reweighting = not deferred
        self._told = not deferred

    def set_progress(self, progress: float) -> None:
        """Set the share of the training that is done, 0 to 1: steps done over all steps."""
        self._told = True
        if self.deferred is not None:
            self.reweighting = progress >= self.deferred

    def _class_buffer(self, name: str, values: object) -> None:
        """Register (C,) numbers as a buffer, in float32, because not every accelerator has float64.

        It is not persistent: the numbers follow from the counts, and a checkpoint may be opened for other classes.
        """
        self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32), persistent=False)

    def _checked(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The logits in at least float32, and the target, checked."""
        if logits.ndim != 2 or logits.shape[1] != self.n_classes:
            raise ValueError(f"`logits` must have shape (B, {self.n_classes}), got {tuple(logits.shape)}")
        if target.is_floating_point() and not self.soft_labels:
            raise ValueError(
                f"{type(self).__name__} needs one class a sample, `target` of shape (B,) and an integer type, "
                f"got soft labels of shape {tuple(target.shape)}; switch mixup and label smoothing off"
            )
        if not self._told and logits.requires_grad:
            self._told = True
            warnings.warn(
                f"the class weights of {type(self).__name__} wait for the last {1 - (self.deferred or 0.0):.0%} of the "
                f"training; call set_progress(step / steps) before each step, or they are never used",
                stacklevel=2,
            )
        return in_float32(logits), checked_target(logits, target)


def in_float32(logits: Tensor) -> Tensor:
    """Half-precision logits widened to float32, in which exponentials and sums are safe; others unchanged."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def checked_target(logits: Tensor, target: Tensor) -> Tensor:
    """The target checked against the logits: (B,) int64, or (B, C) in the type of the logits after :func:`in_float32`.

    Classes must be integers in 0 … C − 1, proportions non-negative with the sum 1. The numbers are checked on the CPU
    only: on an accelerator the check would make every step wait. Raises ``ValueError`` if they do not fit, or there is
    no sample.
    """
    n_classes = logits.shape[-1]
    if not len(logits):
        raise ValueError("`logits` must hold at least one sample, got none")
    if target.is_floating_point():
        if target.shape != logits.shape:
            raise ValueError(
                f"soft labels must have the shape of `logits`, {tuple(logits.shape)}, got {tuple(target.shape)}"
            )
        if target.device.type == "cpu":
            sums = target.sum(dim=1, dtype=torch.float64)
            if not (target >= 0).all() or not ((sums - 1).abs() < 1e-2).all():
                raise ValueError("soft labels must be at least 0 and sum to 1 for each sample")
        return target.to(in_float32(logits).dtype)
    if target.shape != logits.shape[:1]:
        raise ValueError(f"`target` must have shape ({logits.shape[0]},), got {tuple(target.shape)}")
    if target.device.type == "cpu":
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= n_classes:
            raise ValueError(f"`target` must be in 0 … {n_classes - 1}, got labels from {low} to {high}")
    return target.long()


def checked_weight(name: str, weight: Tensor, n_classes: int) -> Tensor:
    """The weight, one number a class; raises ``ValueError`` for another shape than (C,)."""
    if weight.shape != (n_classes,):
        raise ValueError(f"`{name}` must have shape ({n_classes},), one number a class, got {tuple(weight.shape)}")
    return weight
