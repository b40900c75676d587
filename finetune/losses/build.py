"""Losses by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice
from finetune.losses.base import LongTailLoss
from finetune.losses.class_balanced import ClassBalancedLoss, Kind, Normalization
from finetune.losses.effective_number import Beta, class_balanced_weights, effective_number
from finetune.losses.ldam import LDAMLoss
from finetune.losses.logit_adjustment import BalancedSoftmaxLoss, LogitAdjustedLoss


def build_loss(
    name: str,
    counts: ArrayLike,
    *,
    beta: Beta = 0.9999,
    gamma: float = 1.0,
    tau: float = 1.0,
    normalization: Normalization = "paper",
    margin: float = 0.5,
    scale: float = 30.0,
    deferred: float | None = None,
    classes: Sequence[str] | None = None,
) -> LongTailLoss:
    """The loss called ``name``, for a training set of these counts.

    Args:
        name: One of :data:`LOSSES`.
        counts: (C,) training images of each class in the whole training set. For the plain losses a class may have
            none.
        beta: β of the ``cb-`` losses and of ``ldam-drw``, in [0, 1), or "auto".
        gamma: γ of ``focal`` and ``cb-focal``.
        tau: τ of ``logit-adjusted``.
        normalization: What the ``cb-`` losses divide by; see :class:`ClassBalancedLoss`.
        margin: The rarest class's margin in the ``ldam`` losses.
        scale: What the ``ldam`` losses multiply the cosines by.
        deferred: The share of the training after which the weights of the ``cb-`` losses and of ``ldam-drw`` count;
            None for 0, and for 0.8 with ``ldam-drw``.
        classes: (C,) names for messages.

    Raises:
        InputError: The name is unknown, a class has no image, or a number is out of its range.
        ValueError: ``counts`` is not a vector of counts.

    >>> build_loss("cb-focal", [500, 50, 5], beta="auto").sigmoid
    True
    """

    def plain(kind: Kind) -> LongTailLoss:
        present = np.ones_like(effective_number(counts, 0.0))  # which checks the counts
        return ClassBalancedLoss(present, 0.0, kind, gamma, classes=classes)

    def balanced(kind: Kind) -> LongTailLoss:
        return ClassBalancedLoss(counts, beta, kind, gamma, normalization, deferred=deferred or 0.0, classes=classes)

    def ldam(**weights: Any) -> LongTailLoss:
        return LDAMLoss(counts, max_margin=margin, scale=scale, classes=classes, **weights)

    def ldam_drw() -> LongTailLoss:
        weight = class_balanced_weights(counts, beta, classes=classes)
        return ldam(weight=weight, deferred=0.8 if deferred is None else deferred)

    builders: dict[str, Callable[[], LongTailLoss]] = {
        "softmax": lambda: plain("softmax"),
        "sigmoid": lambda: plain("sigmoid"),
        "focal": lambda: plain("focal"),
        "cb-softmax": lambda: balanced("softmax"),
        "cb-sigmoid": lambda: balanced("sigmoid"),
        "cb-focal": lambda: balanced("focal"),
        "ldam": ldam,
        "ldam-drw": ldam_drw,
        "balanced-softmax": lambda: BalancedSoftmaxLoss(counts, classes=classes),
        "logit-adjusted": lambda: LogitAdjustedLoss(counts, tau, classes=classes),
    }
    if name not in builders:
        raise InputError(f"there is no loss {name!r}; {choice(name, LOSSES)}")
    return builders[name]()


#: The names that :func:`build_loss` knows, and what they mean.
LOSSES = {
    "softmax": "cross-entropy",
    "sigmoid": "binary cross-entropy of each class",
    "focal": "the same, images that are right already counting less (--gamma)",
    "cb-softmax": "cross-entropy, each class weighed by 1 / its effective number of images (--beta)",
    "cb-sigmoid": "sigmoid so weighed",
    "cb-focal": "focal so weighed",
    "ldam": "larger margins for classes of few images, on a cosine classifier",
    "ldam-drw": "the same, later in the training weighed as the cb- losses are (--deferred, --beta)",
    "balanced-softmax": "cross-entropy of scores to which the log of the classes' images is added in training",
    "logit-adjusted": "the same from their shares of the images, times τ (--tau)",
}
#: Those of them that read a linear classifier's logits by a softmax.
SOFTMAX_LOSSES = ("softmax", "cb-softmax", "balanced-softmax", "logit-adjusted")
#: Those of them that make up for the sizes of the classes.
BALANCED_LOSSES = ("cb-softmax", "cb-sigmoid", "cb-focal", "ldam-drw", "balanced-softmax", "logit-adjusted")
#: Those of them that do not take class proportions.
HARD_LABEL_LOSSES = ("focal", "cb-focal", "ldam", "ldam-drw")
