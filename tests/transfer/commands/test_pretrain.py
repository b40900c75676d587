"""``pretrain``: a directory that holds another run."""

from __future__ import annotations

TRAIN = "digits:@train?per_class=5"


def test_another_run_at_out(made_run, refused):
    line = refused("pretrain", TRAIN, "--out", made_run, "--backbone", "resnet8", "--steps", 3, "--batch-size", 16)
    assert "holds another run" in line
    assert "name another directory" in line
