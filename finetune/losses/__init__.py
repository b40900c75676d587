"""Losses for class-imbalanced training, chosen by name with :func:`build_loss`."""

from finetune.losses.base import LongTailLoss, Loss
from finetune.losses.catalogue import LOSSES, build_loss
from finetune.losses.class_balanced import ClassBalancedLoss, focal_loss, prior_bias, sigmoid_loss, softmax_loss
from finetune.losses.class_weights import automatic_beta, class_balanced_weights, effective_number
from finetune.losses.ldam import LDAMLoss, ldam_loss, ldam_margins
from finetune.losses.logit_adjustment import BalancedSoftmaxLoss, LogitAdjustedLoss, log_prior
from finetune.losses.options import LossOptions

__all__ = [
    "LOSSES",
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "LongTailLoss",
    "Loss",
    "LossOptions",
    "automatic_beta",
    "build_loss",
    "class_balanced_weights",
    "effective_number",
    "focal_loss",
    "ldam_loss",
    "ldam_margins",
    "log_prior",
    "prior_bias",
    "sigmoid_loss",
    "softmax_loss",
]


def __getattr__(name: str) -> tuple[str, ...]:  # to be removed with the last use of these constants
    derived = {
        "SOFTMAX_LOSSES": lambda row: not (row.sigmoid or row.cosine_classifier),
        "BALANCED_LOSSES": lambda row: row.balanced,
        "HARD_LABEL_LOSSES": lambda row: not row.soft_labels,
    }
    if name not in derived:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return tuple(row.name for row in LOSSES.values() if derived[name](row))
