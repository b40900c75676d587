from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from transfer.accuracies import show_training
from transfer.screen import show_next
from transfer.typed_command import other_run, spec_of_test

if TYPE_CHECKING:
    from finetune import FinetuneConfig, FitClassifierConfig, TrainingResult


def show(config: FinetuneConfig | FitClassifierConfig, result: TrainingResult) -> None:
    """Print the final figures, and the commands that follow."""
    show_training(config, result)
    run, test = shlex.quote(str(result.run)), config.test or spec_of_test(config.dataset)
    evaluated = "TEST" if test is None else f"{shlex.quote(test)} --per-class {run}-classes.csv"
    other = other_run(config.out, config.test)
    show_next(
        f"transfer report {run}",
        f"transfer evaluate {run} {evaluated}",
        *([] if other is None else [f"transfer compare {shlex.quote(other)} {run}"]),
        f"transfer predict {run} PHOTOS --out predictions.csv",
    )
