"""Configurations as command lines, which give the configuration again."""

from __future__ import annotations

import json
import os
import shlex

import numpy as np
import pytest

from finetune.evaluation.metrics import evaluate_scores
from transfer.command_line import read_command_line
from transfer.commands import COMMANDS
from transfer.typed_command import again, other_run, short_name, spec_of_test

EXAMPLES = [example for row in COMMANDS.values() for example in row.examples if "--dry-run" not in example]


@pytest.mark.parametrize("line", EXAMPLES)
def test_a_command_line_gives_the_same_configuration(line):
    name, *words = shlex.split(line)
    row = COMMANDS[name]
    config = row.config()(**read_command_line(row.config(), words, row.positional)[0])
    program, typed, *others = shlex.split(again(name, config))
    assert (program, typed) == ("transfer", name)
    assert row.config()(**read_command_line(row.config(), others, row.positional)[0]) == config


def test_an_option_of_0_is_typed_where_0_is_not_its_default():
    row = COMMANDS["extract"]
    config = row.config()(dataset="digits:", out="d.h5", max_unreadable=0.0, checkpoint_seconds=0.0, workers=0)
    name, *words = shlex.split(again("extract", config))[1:]
    for option in ("--max-unreadable", "--checkpoint-seconds", "--workers"):
        assert float(words[words.index(option) + 1]) == 0, (name, option)
    assert row.config()(**read_command_line(row.config(), words, row.positional)[0]) == config


def test_changed_options_are_typed_and_defaults_are_not():
    config = COMMANDS["predict"].config()(run="runs/my run", images="new", out="p.csv")
    assert again("predict", config) == "transfer predict 'runs/my run' new --out p.csv"
    assert again("predict", config, top=3) == "transfer predict 'runs/my run' new --out p.csv --top 3"


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("folder:data/my birds/@train?per_class=5", "my-birds"),
        ("cub:CUB_200_2011@train", "CUB_200_2011"),
        ("csv:a/table.csv", "table"),
        ("list:train.txt.gz", "train"),
        ("digits:@train", "digits"),
        ("photos/", "photos"),
    ],
)
def test_a_dataset_has_a_short_name(dataset, name):
    assert short_name(dataset) == name and shlex.quote(name) == name


@pytest.mark.parametrize(
    ("dataset", "test"),
    [
        ("cub:CUB@train?per_class=5", "cub:CUB@test"),
        ("folder:photos", None),
        ("folder:photos@val", None),
        ("csv:t.csv@train?image=photo&holdout=0.2&root=pics&seed=3", "csv:t.csv@test?image=photo&root=pics"),
        ("csv:<https://host/t.csv?version=2>@train?image=photo", "csv:https://host/t.csv@test?image=photo"),
    ],
)
def test_the_test_images_are_beside_those_of_a_training_split(dataset, test):
    assert spec_of_test(dataset) == test


def test_another_run_is_one_of_the_same_test_images(tmp_path):
    tests = {"a": "digits:@test", "b": "digits:@train", "c": "digits:@test", "d": "digits:@test"}
    for age, (name, test) in enumerate(tests.items()):
        (tmp_path / name).mkdir()
        figures = {"evaluated_on": test} | evaluate_scores(np.eye(3), [0, 1, 1], [5, 5, 5]).to_json()
        (tmp_path / name / "metrics.json").write_text(json.dumps(figures))
        (tmp_path / name / "config.yaml").write_text(f"test: {test}\n")
        (tmp_path / name / "environment.json").write_text('{"inputs": {}}')
        os.utime(tmp_path / name / "metrics.json", (1000 - age, 1000 - age))
    assert other_run(str(tmp_path / "a"), "digits:@test") == str(tmp_path / "c")  # the newest but itself
    assert other_run(str(tmp_path / "c"), "digits:@test") == str(tmp_path / "a")
    assert other_run(str(tmp_path / "b"), "digits:@train") is None
    assert other_run(str(tmp_path / "a"), None) is None
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "metrics.json").write_text("{")
    assert other_run(str(tmp_path / "a"), "folder:x") is None
    assert other_run(str(tmp_path / "a"), "digits:@test") == str(tmp_path / "c")
