"""Poly-1 loss: cross-entropy plus 1 − p of the true class (Leng et al., "PolyLoss", ICLR 2022, with ε = 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from finetune.losses import LongTailLoss, Loss, LossOptions


class Poly1Loss(LongTailLoss):
    """−log p + (1 − p), the mean over the batch, where p is the probability of the true class."""

    soft_labels = False

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits, target = self._checked(logits, target)
        surprise = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        return (surprise + 1 - torch.exp(-surprise)).mean()


def _build(counts: ArrayLike, options: LossOptions, classes: Sequence[str] | None) -> LongTailLoss:
    return Poly1Loss(len(counts))


POLY1 = Loss("poly1", "cross-entropy plus 1 − p of the true class", _build, soft_labels=False)
