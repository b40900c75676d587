from __future__ import annotations

from finetune import PretrainConfig, TrainingResult, pretrain
from transfer.accuracies import show_training
from transfer.screen import show_next

__all__ = ["PretrainConfig", "pretrain", "show"]


def show(config: PretrainConfig, result: TrainingResult) -> None:
    """Print the final figures, and the command that follows."""
    show_training(config, result)
    show_next(f"transfer finetune TARGET@train --init {result.run} --test TARGET@test --out runs/target")
