"""The options of the losses, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: A number in [0, 1), or "auto" for :func:`finetune.losses.automatic_beta`.
Beta = float | Literal["auto"]
#: What a weighted sum of losses is divided by; see :mod:`finetune.losses.class_balanced`.
Normalization = Literal["paper", "pytorch"]


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """The numbers that a loss may read; the ``options`` of its row name those that it does.

    Attributes:
        beta: β of the effective number of images, in [0, 1), or "auto": from the largest class.
        gamma: γ ≥ 0 of the focal losses; 0 is binary cross-entropy.
        tau: τ ≥ 0 of logit adjustment; 0 is plain cross-entropy.
        normalization: What the class-balanced losses divide by: the number of images ("paper") or the sum of their
            weights ("pytorch").
        margin: Margin of the rarest class in LDAM, positive, in units of the cosine.
        scale: Factor of the cosines in LDAM, positive.
        deferred: Share of the training, 0 to 1, after which class weights are switched on (deferred re-weighting).
            None stands for the loss's own default: 0.8 for LDAM-DRW, 0 for the others.
    """

    beta: Beta = 0.9999
    gamma: float = 1.0
    tau: float = 1.0
    normalization: Normalization = "paper"
    margin: float = 0.5
    scale: float = 30.0
    deferred: float | None = None
