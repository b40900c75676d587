"""Losses for class-imbalanced training, chosen by name with :func:`build_loss`."""

from finetune.losses.base import LongTailLoss
from finetune.losses.build import BALANCED_LOSSES, HARD_LABEL_LOSSES, LOSSES, SOFTMAX_LOSSES, build_loss
from finetune.losses.class_balanced import ClassBalancedLoss, focal_loss, prior_bias, sigmoid_loss, softmax_loss
from finetune.losses.effective_number import automatic_beta, class_balanced_weights, effective_number
from finetune.losses.ldam import LDAMLoss, ldam_loss, ldam_margins
from finetune.losses.logit_adjustment import BalancedSoftmaxLoss, LogitAdjustedLoss, adjust_logits, log_prior

__all__ = [
    "BALANCED_LOSSES",
    "HARD_LABEL_LOSSES",
    "LOSSES",
    "SOFTMAX_LOSSES",
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "LongTailLoss",
    "adjust_logits",
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
