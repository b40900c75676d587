from __future__ import annotations

from typing import TYPE_CHECKING

from finetune import FitClassifierConfig
from transfer.commands.finetune import show

if TYPE_CHECKING:
    from finetune import TrainingResult

__all__ = ["FitClassifierConfig", "fit_classifier", "show"]


def fit_classifier(config: FitClassifierConfig) -> TrainingResult:
    """Fit a classifier to frozen features; see :func:`finetune.fit_classifier`."""
    from finetune import fit_classifier  # imports PyTorch

    return fit_classifier(config)
