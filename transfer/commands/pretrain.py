from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.readers.scheme import SCHEMES, holds_images
from transfer.accuracies import show_training
from transfer.screen import show_next
from transfer.typed_command import short_name, spec_of_test

if TYPE_CHECKING:
    from finetune import PretrainConfig, TrainingResult


def show(config: PretrainConfig, result: TrainingResult) -> None:
    """Print the final figures, and the commands that follow: fine-tuning to each target of the choice."""
    show_training(config, result)
    commands = [_finetuning(str(result.run), target) for target in result.targets if _can_be_trained_on(target)]
    show_next(*commands or [_finetuning(str(result.run), "TARGET@train")])


def _can_be_trained_on(target: str) -> bool:
    """Whether a target of the choice is a dataset with images: a bank may be of features, or of a dataset in Python."""
    try:
        spec = DatasetSpec.parse(target)
        return spec.scheme in SCHEMES and holds_images(spec)
    except InputError:  # of a name that is no spec, and of a file of clusters that has gone
        return False


def _finetuning(run: str, target: str) -> str:
    """The command that fine-tunes a run to a target."""
    test = "TARGET@test" if target == "TARGET@train" else spec_of_test(target)
    tested = "" if test is None else f" --test {shlex.quote(test)}"
    out = "target" if target == "TARGET@train" else short_name(target)
    return f"transfer finetune {shlex.quote(target)} --init {shlex.quote(run)}{tested} --out runs/{out}"
