"""Options of the trainers in groups, and the complete configuration that the training loop reads."""

from finetune.shared_options.base import resolve
from finetune.shared_options.training import TrainingConfig, TrainingOptions, training_config

__all__ = ["TrainingConfig", "TrainingOptions", "resolve", "training_config"]
