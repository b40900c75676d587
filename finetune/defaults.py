"""Where the defaults of training come from that depend on other options.

An option that is None takes its default from the function of its trainer below. :func:`resolve` fills a configuration
in and says what it chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from finetune.losses import LOSSES
from finetune.samplers import find_sampler

Optimizer = Literal["nesterov", "sgd", "adamw"]
Classifier = Literal["new", "probe", "keep"]

#: Share of the shorter side of an image that a published model sees if a classifier is fitted to its features: all of
#: it. Most publications crop to 87.5 %; benchmarks/fine_grained.py compares the two.
WHOLE = 1.0


@dataclass(frozen=True)
class Choice:
    """A default that depends on other options.

    Attributes:
        value: The default.
        reason: Why it is this one, in a few words for the log.
    """

    value: Any
    reason: str


class Configuration(Protocol):
    """A configuration dataclass with defaults that depend on its other options."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def defaults(self) -> Mapping[str, Choice]: ...
    def normalised(self) -> Mapping[str, Any]: ...


ConfigT = TypeVar("ConfigT", bound=Configuration)


@dataclass(frozen=True)
class Resolution(Generic[ConfigT]):
    """A complete configuration.

    Attributes:
        config: The configuration with every default filled in.
        chosen: One sentence for each reason, with the defaults that follow from it, for the log.
    """

    config: ConfigT
    chosen: tuple[str, ...] = ()


def resolve(config: ConfigT) -> Resolution[ConfigT]:
    """Fill in the options of a configuration that are None and have a default; a complete one stays as it is."""
    choices = {name: choice for name, choice in config.defaults().items() if getattr(config, name) is None}
    by_reason: dict[str, list[str]] = {}
    for name, choice in choices.items():
        by_reason.setdefault(choice.reason, []).append(f"{name} {choice.value}")
    complete = replace(config, **config.normalised(), **{name: choice.value for name, choice in choices.items()})
    return Resolution(complete, tuple(f"by default {', '.join(names)}: {why}" for why, names in by_reason.items()))


def pretraining_defaults(*, optimizer: Optimizer | None, sampler: str, steps: int | None) -> dict[str, Choice]:
    """Defaults of pre-training."""
    balanced = find_sampler(sampler).balanced
    loss = Choice(
        "softmax" if balanced else "cb-softmax",
        f"sampler {sampler} {'re-balances the classes already' if balanced else 'does not re-balance the classes'}",
    )
    return {"loss": loss, **_from_new(optimizer or "nesterov", steps, {"adamw": (0.001, 0.05)}, (0.1, 5e-4))}


#: Learning rate and weight decay of fine-tuning for each optimiser; the first is that of :data:`_OTHERS`.
_FINE_TUNED = {"adamw": (0.0003, 0.05)}
_OTHERS = (0.02, 5e-4)


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
    start = classifier or chosen["classifier"].value
    if start == "probe" and published:
        chosen["crop_pct"] = whole_images()
    if start == "new":
        one = Choice(1.0, "a classifier that starts new has nothing to keep")
        return {**chosen, **_from_new(optimizer or "nesterov", steps, _FINE_TUNED, _OTHERS), "interpolate": one}
    reason = f"the classifier starts trained ({start})"
    chosen["optimizer"] = Choice("adamw", reason)
    chosen["batch_norm"] = Choice("frozen", reason)
    if steps is None:
        chosen["epochs"] = Choice(12, reason)
    half = start == "probe" and loss == "softmax" and not find_sampler(sampler).balanced
    # Half of the way would keep half of the odds that a balanced loss or sampler takes out.
    why = "a probe with the loss softmax and no balancing sampler" if half else "not a probe trained with plain softmax"
    return {
        **chosen,
        **_rates(optimizer or "adamw", _FINE_TUNED, _OTHERS),
        "interpolate": Choice(0.5 if half else 1.0, why),
    }


def starting_classifier(published: bool, loss: str) -> Choice:
    """What the classifier starts as in fine-tuning: a probe needs a published model and a softmax loss."""
    row = LOSSES[loss]
    if published and not (row.sigmoid or row.cosine_classifier):
        return Choice("probe", "a published model and a softmax loss")
    return Choice("new", f"loss {loss} is no linear softmax" if published else "the start is not a published model")


def classifier_defaults(*, published: bool, keeps_classifier: bool) -> dict[str, Choice]:
    """Defaults of fitting a classifier to frozen features."""
    return {"crop_pct": whole_images()} if published and not keeps_classifier else {}


def whole_images() -> Choice:
    """The share of an image that a published model sees if its features are fitted."""
    return Choice(WHOLE, "a classifier is fitted to the features of a published model")


Rates = tuple[float, float]


def _rates(optimizer: Optimizer, own: Mapping[str, Rates], others: Rates) -> dict[str, Choice]:
    """Learning rate and weight decay of an optimiser."""
    lr, decay = own.get(optimizer, others)
    reason = f"the rates of {optimizer}"
    return {"lr": Choice(lr, reason), "weight_decay": Choice(decay, reason)}


def _from_new(optimizer: Optimizer, steps: int | None, own: Mapping[str, Rates], others: Rates) -> dict[str, Choice]:
    """Defaults of a training whose classifier starts new."""
    reason = "the classifier starts new"
    epochs = {} if steps is not None else {"epochs": Choice(30, reason)}
    moves = {"optimizer": Choice("nesterov", reason), "batch_norm": Choice("train", reason)}
    return {**moves, **epochs, **_rates(optimizer, own, others)}
