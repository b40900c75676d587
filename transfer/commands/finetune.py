from __future__ import annotations

import shlex

from finetune import FinetuneConfig, FitClassifierConfig, TrainingResult, finetune
from transfer.accuracies import show_training
from transfer.screen import show_next

__all__ = ["FinetuneConfig", "finetune", "show"]


def show(config: FinetuneConfig | FitClassifierConfig, result: TrainingResult) -> None:
    """Print the final figures, and the commands that follow."""
    show_training(config, result)
    evaluated = "TARGET@test" if config.test is None else f"{shlex.quote(config.test)} --per-class FILE.csv"
    show_next(
        f"transfer report {result.run}",
        f"transfer evaluate {result.run} {evaluated}",
        f"transfer compare OTHER_RUN {result.run}",
        f"transfer predict {result.run} PHOTOS --out predictions.csv",
    )
