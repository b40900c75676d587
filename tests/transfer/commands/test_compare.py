"""``transfer compare``: figures side by side, differences paired over the classes, and what does not compare."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import sem

from features import open_dataset
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from finetune import FinetuneConfig, finetune
from finetune.evaluation.metrics import evaluate_scores
from transfer import CompareConfig, compare
from transfer.cli import main

TRUE = [0, 0, 0, 0, 1, 1, 2]
FIRST, SECOND = [0, 0, 1, 1, 1, 2, 0], [0, 0, 0, 1, 1, 1, 2]
NAMES = ("hawk", "wren", "owl")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., str]:
    """A function that writes what a finished run leaves, without its model, and returns its directory."""

    def make(
        name, predicted, *, test="a", spec="birds@test", table=True, finished=True, counts=(200, 50, 5), **config
    ) -> str:
        path = tmp_path / name
        path.mkdir()
        inputs = {"training data": "t"} | ({"test data": test} if test else {})
        (path / "config.yaml").write_text(yaml.safe_dump({"loss": "softmax", "init": "a/b", "epochs": 3} | config))
        (path / "environment.json").write_text(json.dumps({"inputs": inputs}))
        found = evaluate_scores(np.eye(3)[predicted], TRUE, counts, probabilities=True)
        if finished:
            (path / "metrics.json").write_text(json.dumps({"evaluated_on": spec, **found.to_json()}))
        if table:
            rows = zip(NAMES, counts, (4, 2, 1), found.per_class.tolist(), strict=True)
            write_table(path / "per_class.csv", {}, ("class", "train_images", "images", "accuracy"), rows)
        return str(path)

    return make


def test_differences_are_paired_over_the_classes(make_run):
    runs = [make_run("one", FIRST), make_run("other", SECOND)]
    first, second = compare(CompareConfig(runs=runs)).runs
    gains = [0.75 - 0.5, 1 - 0.5, 1 - 0]
    assert first.gain is None and first.gain_error is None
    assert second.gain == pytest.approx(np.mean(gains)) and second.gain_error == pytest.approx(sem(gains))
    assert second.gain == pytest.approx(second.figures["macro"] - first.figures["macro"])
    assert second.top1_error == pytest.approx(np.sqrt(6 / 7 * 1 / 7 / 7))
    assert (first.figures["many"], first.figures["medium"], first.figures["few"]) == (0.5, 0.5, 0)


def test_without_a_table_of_classes_the_difference_has_no_error(make_run, capsys):
    runs = [make_run("one", FIRST, table=False), make_run("other", SECOND)]
    found = compare(CompareConfig(runs=runs)).runs[1]
    assert found.gain == pytest.approx(7 / 12) and found.gain_error is None
    assert main(["compare", *runs]) == 0
    assert f"the difference has no ± without per_class.csv in the run: {runs[0]}\n" in capsys.readouterr().out


@pytest.mark.parametrize("table", [True, False])
def test_groups_of_other_classes_are_told(make_run, capsys, table):
    runs = [
        make_run("one", FIRST),
        make_run("other", SECOND),
        make_run("third", FIRST, counts=(5, 5, 200), table=table),
    ]
    assert [run.same_groups for run in compare(CompareConfig(runs=runs)).runs] == [True, True, False]
    assert main(["compare", *runs]) == 0
    assert f"many, medium and few are not the first run's classes: {runs[2]}\n" in capsys.readouterr().out


def test_other_training_images_are_told(make_run):
    runs = [make_run("one", FIRST, dataset="birds@train"), make_run("other", SECOND, dataset="more@train")]
    runs.append(make_run("third", SECOND, init=None, backbone="b", sources=["a", "c"], validation=2))
    hows = [run.how for run in compare(CompareConfig(runs=runs)).runs]
    assert hows == [f"softmax, 3 epochs from b on {data}" for data in ("birds@train", "more@train", "a + c")]


def test_groups_are_compared_by_what_they_are_and_not_by_counts(make_run):
    runs = [make_run("one", FIRST), make_run("other", SECOND, counts=(190, 40, 3))]
    assert compare(CompareConfig(runs=runs)).runs[1].same_groups


def test_options_tell_apart_what_the_words_do_not(make_run):
    runs = [make_run(str(decay), FIRST, weight_decay=decay, seed=0) for decay in (0.1, 0.2)]
    runs.append(make_run("tau", SECOND, method="tau", tau=1.0, weight_decay=None))
    hows = [run.how for run in compare(CompareConfig(runs=runs)).runs]
    assert hows == [
        "softmax, 3 epochs from b, weight_decay 0.1",
        "softmax, 3 epochs from b, weight_decay 0.2",
        "tau 1 on b",
    ]


def test_options_that_an_earlier_version_wrote_and_did_not_read_are_no_difference(make_run):
    runs = [make_run("earlier", FIRST, seed=0, beta=0.9999, milestones=[0.8, 0.9]), make_run("now", SECOND, seed=1)]
    hows = [run.how for run in compare(CompareConfig(runs=runs)).runs]
    assert hows == [f"softmax, 3 epochs from b, seed {seed}" for seed in (0, 1)]


@pytest.mark.parametrize("validation", [None, "2"])
def test_runs_that_a_training_left_are_compared(tmp_path, validation):
    """Without a test set those images are judged that each seed left to train on: the same, or others."""
    spec = "digits:@train?imbalance=4&per_class=12"
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, "device": "cpu", "workers": 0}
    runs = []
    for seed in (0, 1):
        out = str(tmp_path / str(seed))
        config = FinetuneConfig(dataset=spec, out=out, seed=seed, validation=validation, **options)
        runs.append(str(finetune(config).run))
    if validation is not None:
        with pytest.raises(InputError, match="was evaluated on other images"):
            compare(CompareConfig(runs=runs))
        return
    found = compare(CompareConfig(runs=runs))
    assert found.judged_on == "training" and found.images == open_dataset(spec).counts.sum()
    assert [run.how for run in found.runs] == [
        f"softmax, 1 steps of resnet8 from scratch, seed {seed}" for seed in (0, 1)
    ]
    first, second = found.runs
    assert second.gain == pytest.approx(second.figures["macro"] - first.figures["macro"])
    assert second.gain_error is not None and second.same_groups


@pytest.mark.parametrize(
    ("config", "how"),
    [
        ({}, "softmax, 3 epochs from b"),
        ({"sampler": "class", "steps": 7}, "softmax, sampler class, 7 steps from b"),
        ({"method": "tau", "tau": 0.5}, "tau 0.5 on b"),
        ({"method": "crt", "tau": None}, "crt on b"),
        ({"init": None, "backbone": "resnet8"}, "softmax, 3 epochs from resnet8"),
        ({"init": "resnet8", "weights": "none", "method": "ncm"}, "ncm on untrained resnet8"),
    ],
)
def test_what_a_run_was_trained_with_is_told(make_run, config, how):
    runs = [make_run("one", FIRST, **config), make_run("other", SECOND)]
    assert compare(CompareConfig(runs=runs)).runs[0].how == how


def test_the_table_on_the_screen_and_on_disk(make_run, tmp_path, capsys):
    out = tmp_path / "table.csv"
    runs = [make_run("one", FIRST), make_run("other", SECOND), make_run("third", FIRST, finished=False)]
    assert main(["compare", *runs, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("7 images of birds@test\n")
    assert "0.8571  0.1323  0.9167  0.7500  1.0000  1.0000        +0.5833  0.2205" in said
    assert f"these runs are not finished and are left out: {runs[2]}\n" in said and f"transfer report {runs[1]}" in said
    with out.open(encoding="utf-8") as file:
        about = json.loads(file.readline().removeprefix("#"))
        rows = list(csv.DictReader(file))
    assert len(about.pop("sha256")) == 64 and "torch" in about.pop("versions")
    assert about == {"evaluated_on": "birds@test", "images": 7, "first": runs[0]}
    assert [float(row["macro"]) for row in rows] == pytest.approx([1 / 3, 11 / 12])
    assert main(["compare", *runs, "--out", str(out)]) == 2  # it is there


def test_figures_of_training_images_are_told_as_such(make_run, capsys):
    runs = [make_run(name, FIRST, test=None, spec="birds@train") for name in ("one", "other")]
    assert main(["compare", *runs]) == 0
    assert "these are training images; train with --test DATASET" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"test": "b", "spec": "cars@test"},
            "other: was evaluated on cars@test, .*one on birds@test, and accuracies on",
        ),
        ({"test": "b"}, "other: was evaluated on other images of birds@test, and accuracies on different images"),
        ({"test": None}, "was evaluated on other images"),
        ({"finished": False}, "other: is not finished; fewer than two finished runs are left to compare"),
    ],
)
def test_what_does_not_compare_is_refused(make_run, other, said):
    with pytest.raises(InputError, match=said):
        compare(CompareConfig(runs=[make_run("one", FIRST), make_run("other", SECOND, **other)]))


def test_all_runs_of_other_images_are_named_at_once(make_run):
    runs = [make_run("one", FIRST), make_run("two", SECOND, test="b"), make_run("three", SECOND)]
    runs.append(make_run("four", SECOND, test="c", spec="cars@test"))
    with pytest.raises(InputError, match=r"two: was .*; .*four: was .*, and accuracies .*; leave these runs out") as e:
        compare(CompareConfig(runs=runs))
    assert "three" not in str(e.value)


def test_bad_input_is_one_line(make_run, tmp_path):
    one, other = make_run("one", FIRST), make_run("other", SECOND)
    (Path(one) / "history.csv").write_text("epoch\n")
    for given, said in (
        ({"runs": [one]}, "give at least two"),
        ({"runs": [one, one]}, "one: is given twice"),
        ({"runs": [one, other, f"{one}/"]}, "one/: is given twice"),
        (
            {"runs": [one, other], "out": f"{one}/history.csv", "overwrite": True},
            r"history\.csv: would replace",
        ),
        ({"runs": [one, other], "out": "x.txt"}, r"`out` x\.txt: expected a file name that ends in \.csv"),
        ({"runs": [one, str(tmp_path / "nothing")]}, "nothing: no such run directory"),
        (
            {"runs": [one, other], "out": f"{one}/per_class.csv", "overwrite": True},
            r"per_class\.csv: would replace",
        ),
    ):
        with pytest.raises(InputError, match=said):
            compare(CompareConfig(**given))
    for rows, said in (
        ("hawk,1,1,good", r"per_class\.csv: holds a value that is not a number .*good"),
        ("hawk,1,1,75", "expected each class once, with an accuracy from 0 to 1"),
        ("hawk,1,1,nan", "expected each class once, with an accuracy from 0 to 1"),
        ("hawk,1,1,0.5\nhawk,1,1,0.5", "expected each class once"),
        ("hawk,1,1,0.5\nowl,1,1,0.5", r"do not have the mean 0\.9167 of the run's own figures"),
    ):
        (Path(other) / "per_class.csv").write_text(f"class,train_images,images,accuracy\n{rows}\n")
        with pytest.raises(InputError, match=said):
            compare(CompareConfig(runs=[one, other]))
    (Path(other) / "metrics.json").write_text('{"top1": 0.')
    with pytest.raises(InputError, match=r"metrics\.json: not a readable table of the run's figures"):
        compare(CompareConfig(runs=[one, other]))
