"""Options of the trainers: small groups, and the configuration that the training loop reads."""

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
    StartingPoint,
    Transferring,
    held_out,
    held_out_faults,
)
from finetune.configuration.training import TrainingConfig, TrainingOptions, training_config

__all__ = [
    "Augmenting",
    "Budget",
    "Judging",
    "LossAndSampler",
    "Machine",
    "NotNegative",
    "Optimising",
    "OptionGroup",
    "Output",
    "StartingPoint",
    "TrainingConfig",
    "TrainingOptions",
    "Transferring",
    "held_out",
    "held_out_faults",
    "training_config",
]
