"""What every run does around its training: validation, evaluation, unreadable images, and what is refused."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from features import open_dataset
from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from finetune.classifier_fitting import FitClassifierConfig, fit_classifier
from finetune.evaluation.evaluator import EvaluateConfig, evaluate_model
from finetune.evaluation.metrics import evaluate_scores
from finetune.finetuning import FinetuneConfig, finetune
from finetune.model import ImageClassifier
from finetune.training import batches as training_images
from finetune.training import callbacks, engine
from finetune.training import fitting as training
from finetune.training.held_out import split_off

CPU = {"device": "cpu", "precision": "fp32", "workers": 0}
TRAIN, TEST = "digits:@train?per_class=8", "digits:@test?per_class=6"
HELD_OUT = "digits:@train?per_class=4&seed=36"  # shares no image with TRAIN


def test_the_best_epoch_by_the_validation_is_kept(source_run, tmp_path):
    data = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "augment": "affine", "steps": 24, "lr": 0.1}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), validation="3", batch_size=25, **data, **CPU))
    rows = list(csv.DictReader((result.run / "history.csv").open()))
    macro = [float(row["validation_macro"]) for row in rows]
    assert len(rows) == 12  # 50 images are left to train on
    best = result.metrics["validation"]
    assert best["epoch"] == 1 + int(np.argmax(macro)) and best["macro"] == pytest.approx(max(macro), abs=1e-5)
    assert best["images"] == 30
    assert f"epoch {best['epoch']} is kept, the best by the validation" in (result.run / "log.txt").read_text()
    assert "validation data" in json.loads((result.run / "environment.json").read_text())["inputs"]
    files = sorted(path.name for path in (result.run / "checkpoints").iterdir())
    assert files == ["best.json", "best.safetensors", "last.json", "last.safetensors"]
    checkpoint = find_checkpoint(result.run)
    assert checkpoint.path.name == "best.safetensors" and checkpoint.card["classifier_counts"] == [5] * 10
    assert checkpoint.card["train_counts"] == [8] * 10  # what many and few go by, so that they stay in later stages
    # the best epoch's weights give the figures that were taken then
    split = split_off(open_dataset(TRAIN), 3, 0)
    assert len(split.training) == 50 and not set(split.training.ids) & set(split.validation.ids)
    model, card = ImageClassifier.open(result.run)
    again = evaluate_model(model, split.validation, card, EvaluateConfig(run="", dataset="", **CPU)).metrics
    assert again.macro == pytest.approx(best["macro"])


@pytest.mark.parametrize(
    ("first", "last", "steps", "said"),
    [
        (0.057, 0.099, 40, False),
        (0.057, 0.9, 40, True),
        (0.047, 0.201, 5, False),  # few steps, and far better than guessing
        (0.7, 300.0, 5, True),
    ],
)
def test_a_loss_that_wanders_has_not_diverged(tmp_path, monkeypatch, first, last, steps, said):
    lines = []
    run = SimpleNamespace(path=tmp_path / "run", log=lines.append)
    history = [{"train_loss": first, "step": steps // 2}, {"train_loss": last, "step": steps}]
    monkeypatch.setattr(training, "open_run", lambda _: {"history": history})
    training._warn_if_lost(run, chance=2.1)
    assert bool(lines) == said and all("the training diverged" in line for line in lines)


def test_the_judge_is_the_mean_over_the_classes(source_run, tmp_path, monkeypatch):
    """Top-1 and the mean over the classes may disagree on a validation of unequal classes."""
    figures = iter([(0.9, 0.3), (0.2, 0.5), (0.8, 0.4)])

    def judged(*_, **__):
        top1, macro = next(figures)
        return replace(evaluate_scores(np.eye(2), np.arange(2)), top1=top1, macro=macro)

    monkeypatch.setattr("finetune.training.validation.Validator.__call__", judged)
    data = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "augment": "none", "epochs": 3, "ema": 0.5}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), validation=HELD_OUT, **data, **CPU))
    assert result.metrics["validation"]["epoch"] == 2


@pytest.mark.parametrize("given", [{"ema": 0.6}, {"classifier": "probe", "interpolate": 0.4}])
def test_what_is_kept_is_what_is_judged(source_run, tmp_path, given):
    data = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "augment": "none", "epochs": 3, "lr": 0.1}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), validation=3, **given, **data, **CPU))
    model, card = ImageClassifier.open(result.run)
    held = split_off(open_dataset(TRAIN), 3, 0).validation
    again = evaluate_model(model, held, card, EvaluateConfig(run="", dataset="", **CPU)).metrics
    best = result.metrics["validation"]
    assert (again.macro, again.top1) == pytest.approx((best["macro"], best["top1"]))


def test_it_stops_when_nothing_gets_better(source_run, tmp_path):
    data = {
        "dataset": TRAIN,
        "test": TEST,
        "init": str(source_run),
        "augment": "none",
        "epochs": 30,
        "lr": 1e-12,
        "batch_norm": "frozen",
    }
    still = finetune(FinetuneConfig(out=str(tmp_path / "run"), validation=HELD_OUT, patience=3, **data, **CPU))
    assert len(list(csv.DictReader((still.run / "history.csv").open()))) == 4  # the first epoch, and three no better
    assert still.metrics["validation"]["epoch"] == 1
    assert "stopped, no better epoch than 1 in 3" in (still.run / "log.txt").read_text()


def test_a_killed_run_remembers_its_best_epoch(source_run, tmp_path, monkeypatch):
    data = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "augment": "none", "validation": "2"}
    data |= {"steps": 12, "batch_size": 20, "lr": 0.3, "warmup": 0.0}
    whole = finetune(FinetuneConfig(out=str(tmp_path / "whole"), **data, **CPU))
    step = engine.TrainingStep.training_step

    def fragile(self, batch, i):
        callbacks.CHECKPOINT_SECONDS = -1 if self.step == 7 else math.inf
        if self.step == 10:
            raise RuntimeError("killed")
        return step(self, batch, i)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "CHECKPOINT_SECONDS", math.inf)
        patched.setattr(engine.TrainingStep, "training_step", fragile)
        with pytest.raises(RuntimeError, match="killed"):
            finetune(FinetuneConfig(out=str(tmp_path / "killed"), **data, **CPU))
    resumed = finetune(FinetuneConfig(out=str(tmp_path / "killed"), **data, **CPU))
    assert resumed.metrics == whole.metrics
    for name in ("best", "last"):
        one, other = (load_file(tmp_path / run / "checkpoints" / f"{name}.safetensors") for run in ("whole", "killed"))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_validation_that_is_not_possible(source_run, tmp_path):
    data = {"dataset": TRAIN, "init": str(source_run), "out": str(tmp_path / "run")}
    with pytest.raises(InputError, match="`validation` 8: class 'digit 0' has 8 images, too few to hold 8 out"):
        finetune(FinetuneConfig(validation="8", **data, **CPU))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("backbone", "size", "message"),
    [
        ("resnet8", 32, "`small_size` 32: expected less than the image size, 32"),
        ("vit_tiny_patch16_224", 112, "`small_size` 112: vit_tiny_patch16_224 does not take it"),
    ],
)
def test_a_small_size_that_is_not_possible(tmp_path, backbone, size, message):
    data = {"dataset": TRAIN, "init": backbone, "weights": "none", "out": str(tmp_path / "run"), "steps": 1}
    with pytest.raises(InputError) as refusal:
        finetune(FinetuneConfig(small_size=size, **data, **CPU))
    assert str(refusal.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_small_images_first_and_large_ones_last(source_run, tmp_path, monkeypatch):
    seen = []
    forward = ImageClassifier.forward
    monkeypatch.setattr(ImageClassifier, "forward", lambda self, x: (seen.append(tuple(x.shape)), forward(self, x))[1])
    data = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "steps": 6, "small_size": 20, "batch_size": 16}
    finetune(FinetuneConfig(out=str(tmp_path / "run"), augment="affine", **data, **CPU))
    sides = [shape[-1] for shape in seen if shape[0] == 16][:6]
    assert sides == [20] * 4 + [32] * 2


def test_a_test_set_with_a_foreign_class_is_refused_before_any_work(tmp_path, write_folder):
    train = write_folder(tmp_path / "train", {"blue": 2, "red": 0})
    test = write_folder(tmp_path / "test", {"blue": 2, "pink": 5})
    options = {"init": "resnet8", "weights": "none", "steps": 1}
    with pytest.raises(
        InputError, match=r"test: class 'pink' is not one of the 2 classes of the training \(1 of 2 are not\)"
    ):
        finetune(FinetuneConfig(dataset=f"folder:{train}", test=f"folder:{test}", out=str(tmp_path / "run"), **options))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", [None, "linear"])
def test_one_class_is_not_enough(tmp_path, write_folder, method):
    folder = write_folder(tmp_path / "data", {"blue": 2})
    options = {"dataset": f"folder:{folder}", "init": "resnet8", "weights": "none", "out": str(tmp_path / "run")}
    with pytest.raises(InputError, match="training needs at least 2 classes, and there is only 'blue'"):
        if method is None:
            finetune(FinetuneConfig(**options))
        else:
            fit_classifier(FitClassifierConfig(method=method, **options))


def test_unreadable_training_images_are_written_down(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", {"blue": 2, "red": 0})
    (folder / "red" / "4.png").write_bytes(b"no picture")
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, "augment": "none"}
    result = finetune(FinetuneConfig(dataset=f"folder:{folder}", out=str(tmp_path / "run"), **options, **CPU))
    assert "skipped unreadable image red/4.png (" in (result.run / "log.txt").read_text()
    assert find_checkpoint(result.run).card["train_counts"] == [6, 5]
    assert result.metrics["images"] == 11


def test_without_a_test_set_some_of_many_training_images_are_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "JUDGED", 50)
    options = {"init": "resnet8", "weights": "none", "method": "linear"}
    result = fit_classifier(FitClassifierConfig(dataset=TRAIN, out=str(tmp_path / "run"), **options, **CPU))
    assert result.metrics["images"] == 50
    assert result.metrics["evaluated_on"] == f"50 training images of {TRAIN}"


def test_reading_the_images_in_another_way_changes_nothing(tmp_path, monkeypatch):
    options = {"init": "resnet8", "weights": "none", "steps": 3, "augment": "affine", "batch_size": 16}
    cached = finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "cached"), **options, **CPU))
    monkeypatch.setattr(training_images, "MEMORY_SHARE", 0)
    streamed = finetune(
        FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "streamed"), **options, **CPU | {"workers": 1})
    )
    one, other = find_checkpoint(cached.run), find_checkpoint(streamed.run)
    assert one.card["weights_sha256"] == other.card["weights_sha256"]
    assert all(torch.equal(one.state("head.")[name], other.state("head.")[name]) for name in ("weight", "bias"))


@pytest.mark.parametrize(("loss", "sigmoid", "head"), [("cb-sigmoid", True, "linear"), ("ldam", False, "cosine")])
def test_the_loss_decides_the_head_and_how_scores_are_read(tmp_path, loss, sigmoid, head):
    options = {"init": "resnet8", "weights": "none", "steps": 1, "lr": 1e-12, "augment": "affine"}
    result = finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "run"), loss=loss, **options, **CPU))
    checkpoint = find_checkpoint(result.run)
    assert checkpoint.card["sigmoid"] is sigmoid
    assert checkpoint.card["head"] == head
    if sigmoid:  # −log(C − 1): every class begins with probability 1/C
        torch.testing.assert_close(checkpoint.state("head.")["bias"], torch.full((10,), -np.log(9.0)).float())
    else:
        assert "bias" not in checkpoint.state("head.")
