"""What all losses share: their options, the row and the module of one, and the checks of its inputs.

:data:`LOSSES` has them all by name. Each row stands in the module that implements the loss.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError
from features.infrastructure.options import Range

#: β of the effective number of images; "auto" stands for :func:`finetune.losses.automatic_beta`.
Beta = Annotated[float, Range(0, 1, below=True)] | Literal["auto"]
#: What a weighted sum of losses is divided by; see :mod:`finetune.losses.class_balanced`.
Normalization = Literal["paper", "pytorch"]


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Numbers of the loss and the sampler.

    Only those options are read that the row of the loss or of the sampler names.

    Attributes:
        beta: β of the class-balanced losses, in [0, 1), or auto: from the largest class.
        gamma: γ of the focal losses.
        tau: τ of the loss logit-adjusted.
        normalization: What the class-balanced losses divide by: the number of images (paper) or the sum of their
            weights (pytorch).
        margin: Margin of the rarest class in the ldam losses.
        scale: Factor of the cosines in the ldam losses.
        deferred: Share of the steps after which class weights, or the sampler (from the next whole epoch on),
            re-balance the classes (deferred re-weighting and re-sampling, Cao et al. 2019). By default 0, but 0.8 for
            the weights of ldam-drw.
    """

    beta: Beta = 0.9999
    gamma: Annotated[float, Range(0)] = 1.0
    tau: Annotated[float, Range(0)] = 1.0
    normalization: Normalization = "paper"
    margin: Annotated[float, Range(0, above=True)] = 0.5
    scale: Annotated[float, Range(0, above=True)] = 30.0
    deferred: Annotated[float, Range(0, 1, below=True)] | None = None


@dataclass(frozen=True)
class Loss:
    """One row of :data:`LOSSES`.

    Attributes:
        name, meaning: Name on the command line and in recipes, and one line that says what it is.
        build: The loss from the counts (C,) of the training set, the options, and class names (C,) for messages.
        options: Names of the fields of :class:`LossOptions` that ``build`` reads.
        balanced: Whether it re-balances the classes.
        sigmoid, soft_labels, cosine_classifier: As in :class:`LongTailLoss`.
    """

    name: str
    meaning: str
    build: Callable[[ArrayLike, LossOptions, Sequence[str] | None], LongTailLoss]
    options: frozenset[str] = frozenset()
    balanced: bool = False
    sigmoid: bool = False
    soft_labels: bool = True
    cosine_classifier: bool = False


LOSSES = Catalogue("loss", Loss, "finetune.losses", "transfer.losses")
#: The loss of a training that names none, and that of a pre-training whose sampler leaves the classes unbalanced: the
#: class-balanced loss that transfers as well as plain softmax (``benchmarks/selection_pays.py``).
DEFAULT_LOSS = "softmax"
DEFAULT_BALANCED_LOSS = "balanced-softmax"


def build_loss(name: str, counts: ArrayLike, *, classes: Sequence[str] | None = None, **options: Any) -> LongTailLoss:
    """The loss called ``name`` for a training set of ``counts`` (C,), with fields of :class:`LossOptions`.

    Counts may be 0 only if the loss does not re-balance the classes; ``classes`` (C,) are names for messages.

    Raises:
        InputError: The name is unknown, a class has no image, or a number that the loss reads is out of its range.
        ValueError: ``counts`` is not a vector of counts.

    >>> build_loss("cb-focal", [500, 50, 5], beta="auto").sigmoid
    True
    """
    return LOSSES.find(name).build(counts, LossOptions(**options), classes)


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
