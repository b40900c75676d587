"""Where the defaults of training come from that depend on other options.

An option that is None takes its default from the function of its trainer below. :func:`resolve` fills a configuration
in and says what it chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeVar

from finetune.configuration.base import Choice, OptionGroup
from finetune.losses import LOSSES
from finetune.samplers import find_sampler

Optimizer = Literal["nesterov", "sgd", "adamw"]
Classifier = Literal["new", "probe", "keep"]

#: A published model sees all of an image's shorter side if a classifier is fitted to its features. Most publications
#: crop to 87.5 %; benchmarks/fine_grained.py compares the two.
WHOLE_IMAGES = (1.0, "a classifier is fitted to the features of a published model")


ConfigT = TypeVar("ConfigT", bound=OptionGroup)


def resolve(config: ConfigT) -> tuple[ConfigT, tuple[str, ...]]:
    """Fill in the options of a configuration that are None and have a default; a complete one stays as it is.

    Returns:
        The complete configuration, and one sentence for each reason with the defaults that follow from it.
    """
    chosen, by_reason = config.normalised(), dict[str, list[str]]()
    for name, (value, reason) in config.defaults().items():
        if getattr(config, name) is None:
            chosen[name] = value
            by_reason.setdefault(reason, []).append(f"{name} {value}")
    return replace(config, **chosen), tuple(f"by default {', '.join(them)}: {why}" for why, them in by_reason.items())


#: Learning rate and weight decay of each optimiser.
Rates = Mapping[Optimizer, tuple[float, float]]
PRETRAINING: Rates = {"nesterov": (0.1, 0.0005), "sgd": (0.1, 0.0005), "adamw": (0.001, 0.05)}
FINETUNING: Rates = {"nesterov": (0.02, 0.0005), "sgd": (0.02, 0.0005), "adamw": (0.0003, 0.05)}


def pretraining_defaults(*, optimizer: Optimizer | None, sampler: str, steps: int | None) -> dict[str, Choice]:
    """Defaults of pre-training: a loss that re-balances the classes unless the sampler does."""
    balanced = find_sampler(sampler).balanced
    loss = (
        "softmax" if balanced else "cb-softmax",
        f"the sampler {sampler} {'re-balances' if balanced else 'does not re-balance'} the classes",
    )
    return {
        "loss": loss,
        **_training("the classifier starts new", optimizer, "nesterov", PRETRAINING, steps, 30, "train"),
    }


def finetuning_defaults(
    *,
    published: bool,
    classifier: Classifier | None,
    loss: str,
    sampler: str,
    optimizer: Optimizer | None,
    steps: int | None,
) -> dict[str, Choice]:
    """Defaults of fine-tuning; those of a classifier that starts trained were found on held-out images of CUB.

    Args:
        published: Whether the start is a published model.
        classifier, loss, sampler, optimizer, steps: Options of the configuration.
    """
    chosen = {"classifier": starting_classifier(published, loss)}
    start = classifier or chosen["classifier"][0]
    if start == "new":
        reason = "the classifier starts new"
        chosen |= _training(reason, optimizer, "nesterov", FINETUNING, steps, 30, "train")
        return chosen | {"interpolate": (1.0, reason)}
    if start == "probe" and published:
        chosen["crop_pct"] = WHOLE_IMAGES
    chosen |= _training(f"the classifier starts trained ({start})", optimizer, "adamw", FINETUNING, steps, 12, "frozen")
    if start == "probe" and loss == "softmax" and not find_sampler(sampler).balanced:
        return chosen | {"interpolate": (0.5, "a probe, and neither loss nor sampler re-balances the classes")}
    # Half of the way would keep half of the odds that a balanced loss or sampler takes out.
    return chosen | {"interpolate": (1.0, "no probe that is trained with the loss softmax and unbalanced draws")}


def starting_classifier(published: bool, loss: str) -> Choice:
    """What the classifier starts as in fine-tuning: a probe needs a published model and a linear softmax loss."""
    row = LOSSES[loss]
    if published and not (row.sigmoid or row.cosine_classifier):
        return ("probe", "a published model and a softmax loss")
    return ("new", f"the loss {loss} is no linear softmax" if published else "the start is no published model")


def classifier_defaults(*, published: bool, keeps_classifier: bool) -> dict[str, Choice]:
    """Defaults of fitting a classifier to frozen features."""
    return {"crop_pct": WHOLE_IMAGES} if published and not keeps_classifier else {}


def _training(
    reason: str,
    optimizer: Optimizer | None,
    usual: Optimizer,
    rates: Rates,
    steps: int | None,
    epochs: int,
    batch_norm: str,
) -> dict[str, Choice]:
    """Defaults of the optimiser, the budget and the statistics of batch normalisation.

    Args:
        reason: Why.
        optimizer: The optimiser, if it is given: it gets its own rates, not those of ``usual``.
        usual: The default optimiser.
        rates: Rates of the trainer.
        steps: Steps, if they are given instead of epochs.
        epochs: Default epochs.
        batch_norm: Default statistics.
    """
    lr, decay = rates[optimizer or usual]
    own = f"the rates of {optimizer or usual}"
    return {
        "optimizer": (usual, reason),
        "batch_norm": (batch_norm, reason),
        **({"epochs": (epochs, reason)} if steps is None else {}),
        "lr": (lr, own),
        "weight_decay": (decay, own),
    }
