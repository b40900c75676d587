from .class_balanced import ClassBalancedLoss, focal_loss, prior_bias, sigmoid_loss, softmax_loss
from .class_weights import automatic_beta, class_balanced_weights, effective_number
from .ldam import LDAMLoss, ldam_loss, ldam_margins
from .logit_adjustment import LogitAdjustedLoss, log_prior
from .long_tail_loss import LongTailLoss
from .loss import LOSSES, Loss, LossOptions, build_loss

__all__ = [
    "LOSSES",
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
