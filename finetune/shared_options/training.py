"""The options that pre-training and fine-tuning share, and the complete ones that the training loop reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from features.infrastructure.options import LARGEST_BATCH, Profiling, Range
from finetune.losses.loss import DEFAULT_LOSS, LossOptions
from finetune.samplers import DEFAULT_SAMPLER
from finetune.shared_options.base import Choice, resolve
from finetune.shared_options.lightning_options import LightningOptions
from finetune.shared_options.option_groups import (
    Augmenting,
    Budget,
    Judging,
    LossAndSampler,
    NotNegative,
    Optimising,
    Optimizer,
    Positive,
    RunOptions,
    Statistics,
    Transferring,
)

#: Learning rate and weight decay of each optimiser.
Rates = Mapping[Optimizer, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(
    LightningOptions,
    Judging,
    Transferring,
    Optimising,
    Augmenting,
    LossOptions,
    LossAndSampler,
    Budget,
    RunOptions,
    Profiling,
):
    """Options of a training as they are given: None stands for the trainer's default."""

    #: Options of earlier versions → the value that means this version without them.
    RETIRED: ClassVar[Mapping[str, Any]] = {"tensorboard": False}
    #: Options of earlier versions with another value → what says the same now.
    REPLACED: ClassVar[Mapping[tuple[str, Any], tuple[str, Any]]] = {("tensorboard", True): ("logger", "tensorboard")}

    batch_size: Annotated[int, Range(2, LARGEST_BATCH)] = 128

    @property
    def images_per_step(self) -> int:
        """The images of a step of the optimiser, which may add up several batches."""
        return self.batch_size * self.accumulate_grad_batches

    def contradictions(self) -> list[str]:
        faults = super().contradictions()
        if self.mixing and not self.loss_row.soft_labels:
            faults.append(
                f"`loss` {self.loss_row.name}: needs one class per image; leave out `mixup`, `cutmix` and "
                f"`label_smoothing`"
            )
        return faults

    def training_defaults(
        self, reason: str, optimizer: Optimizer, rates: Rates, epochs: int, batch_norm: Statistics
    ) -> dict[str, Choice]:
        """Defaults of the optimiser with its rates, the budget, and the statistics of batch normalisation."""
        lr, decay = rates[self.optimizer or optimizer]
        own = f"the rates of {self.optimizer or optimizer}"
        return {
            "optimizer": (optimizer, reason),
            "batch_norm": (batch_norm, reason),
            **({"epochs": (epochs, reason)} if self.steps is None else {}),
            "lr": (lr, own),
            "weight_decay": (decay, own),
        }

    def summary(self) -> str:
        """The main options of the complete configuration, in one line."""
        config = training_config(self)
        budget = f"{config.steps} steps" if config.steps is not None else f"{config.epochs} epochs"
        drawn = "" if config.sampler == DEFAULT_SAMPLER else f", sampler {config.sampler}"
        return f"loss {config.loss}{drawn}, {config.optimizer} at {config.lr:g}, {budget}"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(TrainingOptions):
    """Complete options of a training, as the training loop reads them."""

    loss: str = DEFAULT_LOSS
    optimizer: Optimizer = "nesterov"
    lr: Positive = 0.1
    weight_decay: NotNegative = 5e-4
    batch_norm: Statistics = "train"


def training_config(options: TrainingOptions) -> TrainingConfig:
    """What the training loop reads of the options of a trainer, completed by the trainer's defaults."""
    complete, _ = resolve(options)
    return TrainingConfig(**{option.name: getattr(complete, option.name) for option in fields(TrainingConfig)})
