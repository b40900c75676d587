"""``pretrain``: a directory that holds another run, and the commands that follow."""

from __future__ import annotations

import pytest

from finetune import PretrainConfig, TrainingResult, open_run
from transfer.commands.pretrain import show

TRAIN = "digits:@train?per_class=5"


def test_another_run_at_out(made_run, refused):
    line = refused("pretrain", TRAIN, "--out", made_run, "--backbone", "resnet8", "--steps", 3, "--batch-size", 16)
    assert "holds another run" in line
    assert "name another directory" in line


@pytest.mark.parametrize(
    ("targets", "commands"),
    [
        ((), ["TARGET@train --init {run} --test TARGET@test --out runs/target"]),
        (("python:mine", "t", "features:rows.npz", "clusters:gone.csv"), ["TARGET@train --init {run} --test TARGET"]),
        (
            (TRAIN, "folder:my birds", "features:rows.npz"),
            [
                "'digits:@train?per_class=5' --init {run} --test digits:@test --out runs/digits",
                "'folder:my birds' --init {run} --out runs/my-birds",
            ],
        ),
    ],
)
def test_each_target_with_images_is_fine_tuned_to(made_run, targets, commands, capsys):
    """The subset file is not read again: after hours of training it may have gone."""
    config = PretrainConfig(subset="gone.csv", out=str(made_run))
    show(config, TrainingResult(made_run, open_run(made_run)["metrics"], False, targets))
    shown = capsys.readouterr().out.partition("next:\n")[2].splitlines()
    assert len(shown) == len(commands)
    for line, command in zip(shown, commands, strict=True):
        assert line.startswith(f"  transfer finetune {command.format(run=made_run)}")
