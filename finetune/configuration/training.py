"""The options that pre-training and fine-tuning share, and the complete ones that the training loop reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from finetune.configuration.option_groups import (
    Augmenting,
    Budget,
    Judging,
    LossAndSampler,
    Machine,
    NotNegative,
    Optimising,
    OptionGroup,
    Output,
    Positive,
    Transferring,
)
from finetune.defaults import Choice, resolve

_GROUPS: tuple[type[OptionGroup], ...] = (
    Budget,
    LossAndSampler,
    Augmenting,
    Optimising,
    Transferring,
    Judging,
    Machine,
)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Machine, Judging, Transferring, Optimising, Augmenting, LossAndSampler, Budget, Output):
    """Options of a training as they are given: None stands for the trainer's default."""

    #: Heading in the command line's help → options below it; the rest come first.
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        (group.__doc__ or "").partition(".")[0].lower(): tuple(option.name for option in fields(group))
        for group in _GROUPS
    }

    def defaults(self) -> dict[str, Choice]:
        """The default of every option that is None and stands for one, with the reason for it."""
        return {}

    def contradictions(self) -> list[str]:
        faults = super().contradictions()
        if self.mixing and not self.loss_row.soft_labels:
            faults.append(
                f"`loss` {self.loss_row.name}: needs one class per image; leave out `mixup`, `cutmix` and "
                f"`label_smoothing`"
            )
        return faults

    def summary(self) -> str:
        """The main options of the complete configuration, in one line."""
        config = training_config(self)
        budget = f"{config.steps} steps" if config.steps is not None else f"{config.epochs} epochs"
        drawn = "" if config.sampler == "shuffle" else f", sampler {config.sampler}"
        return f"loss {config.loss}{drawn}, {config.optimizer} at {config.lr:g}, {budget}"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(TrainingOptions):
    """Complete options of a training, as the training loop reads them."""

    loss: str = "softmax"
    optimizer: Literal["nesterov", "sgd", "adamw"] = "nesterov"
    lr: Positive = 0.1
    weight_decay: NotNegative = 5e-4
    batch_norm: Literal["train", "frozen"] = "train"


def training_config(options: TrainingOptions) -> TrainingConfig:
    """What the training loop reads of the options of a trainer, completed by the trainer's defaults."""
    complete = resolve(options).config
    return TrainingConfig(**{option.name: getattr(complete, option.name) for option in fields(TrainingConfig)})
