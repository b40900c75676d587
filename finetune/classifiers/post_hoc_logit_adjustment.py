"""Post-hoc logit adjustment: the log of each class's share of the training is subtracted from a trained bias.

Source: Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, section 4.
"""

from __future__ import annotations

from features.infrastructure.errors import InputError
from finetune.classifiers.second_stage import FittedHead, FittingInputs, SecondStage, TrainedClassifier
from finetune.losses import log_prior


def _adjust(inputs: FittingInputs) -> FittedHead:
    start, tau = inputs.start, 1.0 if inputs.tau is None else inputs.tau
    counts = inputs.dataset.counts if inputs.counts is None else inputs.counts
    return FittedHead.linear(start.weight, start.bias - tau * log_prior(counts, classes=inputs.dataset.classes))


def _check(start: TrainedClassifier, tau: float | None) -> None:
    """Refuse scores that are no logits of a softmax, and to re-balance the classes twice unless ``tau`` is given."""
    if start.sigmoid:
        raise InputError(
            f"`init` {start.location}: `method` logit-adjusted shifts the scores of a softmax, and this run's are read "
            f"by a sigmoid; use another `method`"
        )
    if start.balanced_by and tau is None:
        raise InputError(
            f"`init` {start.location}: was trained with {start.balancing_option}, which re-balances the classes "
            f"already; give a run trained with softmax, or `tau`, how much to adjust further"
        )


LOGIT_ADJUSTED = SecondStage(
    "logit-adjusted",
    "the trained classifier with `tau` times the log class prior subtracted from its bias",
    _adjust,
    keeps_classifier=True,
    options=frozenset({"tau"}),
    balanced=True,
    check=_check,
)
