from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from finetune import PretrainConfig
from similarity import Subset
from transfer.accuracies import show_training
from transfer.screen import show_next
from transfer.typed_command import short_name, spec_of_test

if TYPE_CHECKING:
    from finetune import TrainingResult

__all__ = ["PretrainConfig", "pretrain", "show"]


def pretrain(config: PretrainConfig) -> TrainingResult:
    """Pre-train a backbone on source classes; see :func:`finetune.pretrain`."""
    from finetune import pretrain  # imports PyTorch

    return pretrain(config)


def show(config: PretrainConfig, result: TrainingResult) -> None:
    """Print the final figures, and the commands that follow: fine-tuning to each target of the choice."""
    show_training(config, result)
    chosen = config.subset or config.class_weights
    targets = [] if chosen is None else [one["dataset"] for one in Subset.read(chosen).provenance.get("targets", ())]
    show_next(*(_finetuning(str(result.run), target) for target in targets or ["TARGET@train"]))


def _finetuning(run: str, target: str) -> str:
    """The command that fine-tunes a run to a target."""
    test = "TARGET@test" if target == "TARGET@train" else spec_of_test(target)
    tested = "" if test is None else f" --test {shlex.quote(test)}"
    out = "target" if target == "TARGET@train" else short_name(target)
    return f"transfer finetune {shlex.quote(target)} --init {shlex.quote(run)}{tested} --out runs/{out}"
