"""Options of the trainers in groups, and the complete configuration that the training loop reads."""

from finetune.configuration.base import resolve
from finetune.configuration.training import TrainingConfig, TrainingOptions, training_config

__all__ = ["TrainingConfig", "TrainingOptions", "resolve", "training_config"]
