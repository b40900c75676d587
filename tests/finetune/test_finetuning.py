"""Fine-tuning: from a run, from scratch, and the linear probe against scikit-learn."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features import open_dataset
from features.backbones.loading import load_backbone
from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from finetune.classifiers import ClassifierRetraining, LearnableWeightScaling, TauNormalisation
from finetune.classifiers.second_stage import TrainedClassifier
from finetune.evaluation.evaluator import EvaluateConfig, evaluate, evaluate_model
from finetune.evaluation.metrics import evaluate_scores
from finetune.finetuning import FinetuneConfig, finetune
from finetune.losses import log_prior
from finetune.model import ImageClassifier
from finetune.pretraining import PretrainConfig, pretrain
from finetune.training import batches as training_images
from finetune.training import callbacks as keeping
from finetune.training import engine
from finetune.training import fitting as training
from finetune.training.validation import split_off

CPU = {"device": "cpu", "precision": "fp32", "workers": 0}
TRAIN, TEST = "digits:@train?per_class=8", "digits:@test?per_class=6"


@pytest.fixture(scope="module")
def source_run(tmp_path_factory) -> Path:
    """A backbone that has seen some images."""
    out = tmp_path_factory.mktemp("source") / "run"
    options = {"backbone": "resnet8", "steps": 3, "batch_size": 32, "augment": "affine", "lr": 0.02}
    return pretrain(PretrainConfig(sources=["digits:@test?per_class=4&seed=1"], out=str(out), **options, **CPU)).run


def features_of(spec: str, run: Path, mirrored: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels, image by image."""
    dataset, backbone = open_dataset(spec), load_backbone(str(run)).eval()
    rows = []
    with torch.inference_mode():
        for i in range(len(dataset)):
            pixels = backbone.preprocessing.pixels(dataset.image(i))[None]
            pixels = pixels.flip(3) if mirrored else pixels
            rows.append(backbone(backbone.preprocessing.normalize(pixels))[0].numpy())
    return np.array(rows), dataset.labels


def test_the_whole_network_moves_from_where_the_run_ended(source_run, tmp_path):
    config = FinetuneConfig(
        dataset=TRAIN, test=TEST, init=str(source_run), out=str(tmp_path / "run"), steps=2, augment="affine", **CPU
    )
    result = finetune(config)
    start, end = find_checkpoint(source_run), find_checkpoint(result.run)
    environment = json.loads((result.run / "environment.json").read_text())
    assert environment["inputs"]["initial weights"] == start.card["weights_sha256"]
    before, after = start.state("backbone."), end.state("backbone.")
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before if name.endswith("conv1.weight"))
    assert end.classes == tuple(f"digit {i}" for i in range(10))
    assert result.metrics["evaluated_on"] == TEST
    assert result.metrics["images"] == 60
    found = evaluate(EvaluateConfig(run=str(result.run), dataset=TEST, **CPU)).to_json()
    assert found == {name: result.metrics[name] for name in found}  # what was written is what the model gives


def test_the_linear_probe_is_scikit_learns_logistic_regression(source_run, tmp_path):
    config = FinetuneConfig(
        dataset=TRAIN, test=TEST, init=str(source_run), out=str(tmp_path / "run"), method="linear", **CPU
    )
    result = finetune(config)
    features, labels = features_of(TRAIN, source_run)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, labels)
    unseen, truth = features_of(TEST, source_run)
    assert result.metrics["top1"] == pytest.approx(oracle.score(unseen, truth))
    head = find_checkpoint(result.run).state("head.")
    found = unseen @ head["weight"].numpy().T + head["bias"].numpy()
    # float32 weights on features of this scale, and L-BFGS stopping at gradients of 1e-4
    np.testing.assert_allclose(found, oracle.decision_function(unseen), atol=0.02)
    frozen, start = find_checkpoint(result.run), find_checkpoint(source_run)
    assert frozen.card["weights_sha256"] == start.card["weights_sha256"]
    assert frozen.card["train_counts"] == [8] * 10
    again = finetune(config)
    assert again.reused
    assert again.metrics == result.metrics


# The other classifiers on frozen features


HELD_OUT = "digits:@train?per_class=4&seed=36"  # shares no image with TRAIN


def head_of(run: Path) -> tuple[np.ndarray, np.ndarray]:
    head = find_checkpoint(run).state("head.")
    return head["weight"].numpy(), head["bias"].numpy()


def expected_head(method: str, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of the classifier on features taken image by image."""
    features, labels = features_of(TRAIN, run)
    weight, bias = head_of(run)
    if method == "crt":
        fitted = ClassifierRetraining(seed=4).fit(features, labels)
    elif method == "lws":
        fitted = LearnableWeightScaling(weight, bias, seed=4).fit(features, labels)
    else:
        fitted = TauNormalisation(weight).fit(*features_of(HELD_OUT, run))
    return fitted.weight_, fitted.bias_


@pytest.mark.parametrize("method", ["crt", "lws", "tau"])
def test_a_classifier_is_fitted_and_the_backbone_stays_as_it_is(source_run, tmp_path, method):
    given = {"validation": HELD_OUT} if method == "tau" else {}
    options = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "method": method, "seed": 4}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), **options, **given, **CPU))
    weight, bias = expected_head(method, source_run)
    np.testing.assert_allclose(head_of(result.run)[0], weight, rtol=1e-3, atol=1e-4 * np.abs(weight).max())
    np.testing.assert_allclose(head_of(result.run)[1], bias, rtol=1e-3, atol=1e-3 * max(1e-3, np.abs(bias).max()))
    before, after = find_checkpoint(source_run).state("backbone."), find_checkpoint(result.run).state("backbone.")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert ("τ = " in (result.run / "log.txt").read_text()) == (method == "tau")
    assert finetune(FinetuneConfig(out=str(tmp_path / "run"), **options, **given, **CPU)).reused
    config = yaml.safe_load((result.run / "config.yaml").read_text())
    assert FinetuneConfig(**config).method == method  # what is written runs again
    assert not {"epochs", "lr", "loss", "augment", "classifier", "space"} & set(config)  # which it does not read
    assert ("tau" in config) == ("validation" in config and method == "tau")


def test_tau_zero_is_the_trained_classifier_without_its_bias(source_run, tmp_path):
    options = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "method": "tau", "tau": 0.0}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), **options, **CPU))
    np.testing.assert_array_equal(head_of(result.run)[0], head_of(source_run)[0])
    assert (head_of(result.run)[1] == 0).all()


@pytest.mark.parametrize("tau", [None, 0.5])
@pytest.mark.parametrize("given", ["digits:@train?imbalance=8&per_class=40", TRAIN])
def test_post_hoc_logit_adjustment_is_that_of_the_logits(tmp_path, tau, given):
    """The shares are those of the images that the classifier was trained on, whatever images are given now."""
    tail = "digits:@train?imbalance=8&per_class=40"
    tiny = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 2, **CPU}
    source = finetune(FinetuneConfig(dataset=tail, out=str(tmp_path / "source"), **tiny)).run
    options = {"dataset": given, "test": TEST, "init": str(source), "method": "logit-adjusted", "tau": tau}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), **options, **CPU))
    counts = open_dataset(tail).counts
    assert counts.max() > 3 * counts.min()
    (weight, bias), (found_weight, found_bias) = head_of(source), head_of(result.run)
    expected = bias - (1.0 if tau is None else tau) * log_prior(counts)
    np.testing.assert_array_equal(found_weight, weight)
    np.testing.assert_allclose(found_bias, expected, rtol=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_tau_reads_scores_as_the_run_did(tmp_path, loss):
    tiny = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 2, "loss": loss, **CPU}
    source = finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "source"), **tiny)).run
    options = {"dataset": TRAIN, "test": TEST, "init": str(source), **CPU}
    found = finetune(FinetuneConfig(out=str(tmp_path / "tau"), method="tau", tau=0.0, **options))
    assert find_checkpoint(found.run).card["sigmoid"] == (loss == "sigmoid")
    adjusted = FinetuneConfig(out=str(tmp_path / "adjusted"), method="logit-adjusted", **options)
    if loss == "softmax":
        assert find_checkpoint(finetune(adjusted).run).card["sigmoid"] is False
        return
    with pytest.raises(InputError, match="source: --method logit-adjusted shifts the scores of a softmax"):
        finetune(adjusted)


def test_the_nearest_class_mean_becomes_a_cosine_head(source_run, tmp_path):
    options = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "method": "ncm"}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), **options, **CPU))
    features, labels = features_of(TRAIN, source_run)
    unseen, truth = features_of(TEST, source_run)
    means = np.stack([features[labels == c].mean(0) for c in range(10)])
    cosine = (unseen / np.linalg.norm(unseen, axis=1)[:, None]) @ (means / np.linalg.norm(means, axis=1)[:, None]).T
    assert result.metrics["top1"] == pytest.approx((cosine.argmax(1) == truth).mean())
    assert find_checkpoint(result.run).card["head"] == "cosine"
    again = {**options, "init": str(result.run), "method": "lws"}
    with pytest.raises(InputError, match="--method lws needs a linear classifier, and this run's is cosine"):
        finetune(FinetuneConfig(out=str(tmp_path / "other"), **again, **CPU))


def test_rows_follow_the_names_of_the_classes(source_run, tmp_path):
    """A run whose classes stand in another order than the dataset's."""
    names = [f"digit {i}" for i in range(10)]
    model, _ = ImageClassifier.open(source_run)
    order = np.random.default_rng(0).permutation(10)
    other = ImageClassifier(model.backbone, [names[i] for i in order])
    with torch.no_grad():
        other.head.weight.copy_(model.head.weight[order])
        other.head.bias.copy_(model.head.bias[order])
    other.save(tmp_path / "shuffled" / "checkpoints" / "last.safetensors", {"sigmoid": False, "scale": 1.0})
    found = TrainedClassifier.of(str(tmp_path / "shuffled"), names, "tau")
    np.testing.assert_array_equal(found.weight, model.head.weight.detach().numpy())
    np.testing.assert_array_equal(found.bias, model.head.bias.detach().numpy())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "crt", "lr": 0.5}, "--lr: --method crt fits a classifier without it; leave it out"),
        ({"method": "linear", "epochs": 3}, "--epochs: --method linear fits a classifier without it; leave it out"),
        ({"method": "ncm", "weight_decay": 0.0}, "--weight-decay: --method ncm fits a classifier without it"),
        ({"method": "tau"}, "--method tau: give either --validation, images to choose τ on, or --tau"),
        ({"method": "tau", "tau": 1.0, "validation": TEST}, "--method tau: give either --validation"),
        ({"method": "tau", "tau": float("nan")}, "--tau nan: expected at least 0"),
        ({"method": "crt", "tau": 1.0}, "--tau 1.0: is for --method tau and logit-adjusted, and for --loss logit-adj"),
        ({"method": "crt", "validation": TEST}, "--validation is for --method full and tau"),
        ({"patience": 2}, "--patience 2: needs --validation, images to judge the epochs by"),
        ({"milestones": [0.5]}, "--milestones [0.5]: is for --schedule step; leave it out"),
        ({"decay": 0.1, "schedule": "cosine"}, "--decay 0.1: is for --schedule step; leave it out"),
        ({"beta": 0.9, "loss": "balanced-softmax"}, "--beta 0.9: is for the losses cb-… and ldam-drw, and for"),
        ({"gamma": 2.0, "loss": "cb-sigmoid"}, "--gamma 2.0: is for the focal losses; leave it out"),
        (
            {"classifier": "probe", "loss": "ldam"},
            "--loss ldam: needs a cosine classifier; --classifier probe is linear",
        ),
        ({"lr": math.inf}, "--lr inf: expected a positive number"),
        ({"method": "ncm", "classifier": "probe"}, "--classifier: --method ncm fits a classifier without it"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(given, message):
    with pytest.raises(InputError) as refusal:
        FinetuneConfig(dataset=TRAIN, init="resnet8", out="run", **given)
    assert str(refusal.value).startswith(message)


def test_a_run_cannot_be_its_own_start(tmp_path):
    with pytest.raises(InputError, match="is where --init starts from; name another folder"):
        FinetuneConfig(dataset=TRAIN, init=str(tmp_path), out=f"{tmp_path}/.")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"init": "resnet18"}, "loss softmax, adamw at 0.0003, 12 epochs, starting from a probe, 0.5 of the way kept"),
        ({"init": "resnet18", "classifier": "new", "steps": 9}, "loss softmax, nesterov at 0.02, 9 steps"),
        (
            {"init": "runs/pre", "classifier": "keep", "loss": "cb-focal"},
            "loss cb-focal, adamw at 0.0003, 12 epochs, starting from the run's classifier",
        ),
    ],
)
def test_the_log_says_what_was_chosen(given, said):
    assert FinetuneConfig(dataset=TRAIN, out="run", **given).summary() == said


def test_what_lws_and_tau_start_from(source_run, tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", {"blue": 2, "digit 3": 1})
    options = {"out": str(tmp_path / "run"), "method": "lws"}
    with pytest.raises(
        InputError, match="--init resnet8: --method lws changes a trained classifier; give a finished run"
    ):
        finetune(FinetuneConfig(dataset=TRAIN, init="resnet8", weights="none", **options, **CPU))
    with pytest.raises(InputError, match="the dataset's 2 classes; 10 are not in both, such as 'blue'"):
        finetune(FinetuneConfig(dataset=f"folder:{folder}", init=str(source_run), **options, **CPU))
    options = {"out": str(tmp_path / "run"), "method": "tau", "validation": f"folder:{folder}"}
    with pytest.raises(InputError, match="class 'blue' is not one of the 10 classes of the training"):
        finetune(FinetuneConfig(dataset=TRAIN, init=str(source_run), **options, **CPU))
    assert not (tmp_path / "run").exists()


# What the classifier starts as


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"init": "efficientnet_lite0"}, ("probe", "adamw", 0.0003, 0.05, 12, "frozen", 0.5)),
        ({"init": "resnet18", "optimizer": "sgd"}, ("probe", "sgd", 0.0003, 0.0005, 12, "frozen", 0.5)),
        # half of the way would keep half of the odds that a balanced loss or sampler takes out
        ({"init": "resnet18", "loss": "balanced-softmax"}, ("probe", "adamw", 0.0003, 0.05, 12, "frozen", 1.0)),
        ({"init": "resnet18", "sampler": "class"}, ("probe", "adamw", 0.0003, 0.05, 12, "frozen", 1.0)),
        ({"init": "efficientnet_lite0", "lr": 0.01, "steps": 5}, ("probe", "adamw", 0.01, 0.05, None, "frozen", 0.5)),
        ({"init": "efficientnet_lite0", "weights": "none"}, ("new", "nesterov", 0.02, 0.0005, 30, "train", 1.0)),
        ({"init": "efficientnet_lite0", "loss": "ldam"}, ("new", "nesterov", 0.02, 0.0005, 30, "train", 1.0)),
        ({"init": "runs/pre"}, ("new", "nesterov", 0.02, 0.0005, 30, "train", 1.0)),
        ({"init": "runs/pre", "optimizer": "adamw"}, ("new", "adamw", 0.0003, 0.05, 30, "train", 1.0)),
        ({"init": "runs/pre", "classifier": "keep"}, ("keep", "adamw", 0.0003, 0.05, 12, "frozen", 1.0)),
        ({"init": "runs/pre", "method": "crt"}, (None,) * 7),
    ],
)
def test_from_a_trained_classifier_the_defaults_are_others(given, expected):
    config = FinetuneConfig(dataset=TRAIN, out="run", **given)
    names = ("classifier", "optimizer", "lr", "weight_decay", "epochs", "batch_norm", "interpolate")
    assert tuple(getattr(config, name) for name in names) == expected
    assert replace(config, seed=1) == FinetuneConfig(dataset=TRAIN, out="run", seed=1, **given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"init": "efficientnet_lite0"}, 1.0),
        ({"init": "efficientnet_lite0", "method": "linear"}, 1.0),
        ({"init": "efficientnet_lite0", "method": "ncm"}, 1.0),
        ({"init": "efficientnet_lite0", "crop_pct": 0.9}, 0.9),
        ({"init": "efficientnet_lite0", "classifier": "new"}, None),
        ({"init": "efficientnet_lite0", "weights": "none"}, None),
        ({"init": "runs/pre", "method": "linear"}, None),
        ({"init": "runs/pre", "classifier": "probe"}, None),
        ({"init": "runs/pre", "method": "lws"}, None),
    ],
)
def test_a_published_model_whose_features_are_fitted_sees_whole_images(given, expected):
    assert FinetuneConfig(dataset=TRAIN, out="run", **given).crop_pct == expected


def test_what_the_network_saw_is_what_it_is_evaluated_with(source_run, tmp_path):
    size = find_checkpoint(source_run).preprocessing.image_size
    config = FinetuneConfig(
        dataset=TRAIN, init=str(source_run), out=str(tmp_path / "run"), steps=1, crop_pct=0.8, **CPU
    )
    seen = find_checkpoint(finetune(config).run).preprocessing
    assert (seen.image_size, seen.resize) == (size, int(size / 0.8))
    with pytest.raises(InputError, match=r"--crop-pct 1\.2: expected above 0 and at most 1"):
        replace(config, crop_pct=1.2)


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_statistics_of_batch_normalisation_move_or_stay(source_run, tmp_path, batch_norm):
    data = {"dataset": TRAIN, "init": str(source_run), "steps": 2, "augment": "none", "batch_norm": batch_norm}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), lr=0.1, warmup=0.0, **data, **CPU))
    before, after = (find_checkpoint(run).state("backbone.") for run in (source_run, result.run))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.endswith("conv1.weight") for name in moved)
    assert any(name.endswith("running_mean") for name in moved) == (batch_norm == "train")


def test_it_may_start_as_a_probe_or_as_the_classifier_of_the_run(source_run, tmp_path):
    still = {"dataset": TRAIN, "init": str(source_run), "steps": 1, "lr": 1e-12, "augment": "none"}
    kept = finetune(FinetuneConfig(out=str(tmp_path / "kept"), classifier="keep", **still, **CPU))
    np.testing.assert_allclose(head_of(kept.run)[0], head_of(source_run)[0], atol=1e-6)
    seen = [features_of(TRAIN, source_run)]
    unseen, _ = features_of(TEST, source_run)
    for augment in ("none", "flip"):  # where training mirrors images, the probe has learned their mirror images too
        still["augment"] = augment
        probed = finetune(FinetuneConfig(out=str(tmp_path / augment), classifier="probe", **still, **CPU))
        features, labels = map(np.concatenate, zip(*seen, strict=True))
        oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, labels)
        weight, bias = head_of(probed.run)
        np.testing.assert_allclose(unseen @ weight.T + bias, oracle.decision_function(unseen), rtol=5e-3, atol=0.02)
        seen.append(features_of(TRAIN, source_run, mirrored=True))
    with pytest.raises(InputError, match="--loss ldam: needs a cosine classifier; --classifier keep is linear"):
        finetune(FinetuneConfig(out=str(tmp_path / "x"), classifier="keep", loss="ldam", **still, **CPU))
    with pytest.raises(InputError, match="--init resnet8: --method full --classifier keep changes"):
        foreign = still | {"init": "resnet8", "weights": "none"}
        finetune(FinetuneConfig(out=str(tmp_path / "y"), classifier="keep", **foreign, **CPU))


def test_what_is_kept_lies_between_start_and_end(source_run, tmp_path):
    def kept(share: float, **given) -> dict[str, torch.Tensor]:
        config = FinetuneConfig(
            dataset=TRAIN, init=str(source_run), classifier="keep", steps=3, lr=0.01, interpolate=share,
            out=str(tmp_path / f"{share}-{len(given)}"), batch_norm="train", **given, **CPU
        )  # fmt: skip
        return load_file(finetune(config).run / "checkpoints" / "last.safetensors")

    start, end = load_file(source_run / "checkpoints" / "last.safetensors"), kept(1.0)
    assert not torch.allclose(start["head.weight"], end["head.weight"], atol=1e-3)
    found = kept(0.25)
    for name, value in end.items():
        expected = 0.75 * start[name] + 0.25 * value if value.is_floating_point() else value
        torch.testing.assert_close(found[name], expected, msg=name)
    # with an average of the weights it is the way to that
    average = kept(1.0, ema=0.5)
    torch.testing.assert_close(kept(0.5, ema=0.5)["head.weight"], (start["head.weight"] + average["head.weight"]) / 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"interpolate": 0.0, "classifier": "probe"}, "--interpolate 0.0: expected above 0 and at most 1"),
        (
            {"interpolate": 0.5},
            "--interpolate 0.5: needs a classifier that starts trained; give --classifier probe or keep",
        ),
        (
            {"interpolate": 0.5, "method": "ncm"},
            "--interpolate: --method ncm fits a classifier without it; leave it out",
        ),
    ],
)
def test_a_way_that_is_none_is_refused(given, message):
    with pytest.raises(InputError) as refusal:
        FinetuneConfig(dataset=TRAIN, init="runs/pre", out="run", **given)
    assert str(refusal.value) == message


# Validation


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
    step = engine._Loop.training_step

    def fragile(self, batch, i):
        keeping.CHECKPOINT_SECONDS = -1 if self.step == 7 else math.inf
        if self.step == 10:
            raise RuntimeError("killed")
        return step(self, batch, i)

    with monkeypatch.context() as patched:
        patched.setattr(keeping, "CHECKPOINT_SECONDS", math.inf)
        patched.setattr(engine._Loop, "training_step", fragile)
        with pytest.raises(RuntimeError, match="killed"):
            finetune(FinetuneConfig(out=str(tmp_path / "killed"), **data, **CPU))
    resumed = finetune(FinetuneConfig(out=str(tmp_path / "killed"), **data, **CPU))
    assert resumed.metrics == whole.metrics
    for name in ("best", "last"):
        one, other = (load_file(tmp_path / run / "checkpoints" / f"{name}.safetensors") for run in ("whole", "killed"))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_validation_that_is_not_possible(source_run, tmp_path):
    data = {"dataset": TRAIN, "init": str(source_run), "out": str(tmp_path / "run")}
    with pytest.raises(InputError, match="--validation 8: class 'digit 0' has 8 images, too few to hold 8 out"):
        finetune(FinetuneConfig(validation="8", **data, **CPU))
    assert not (tmp_path / "run").exists()


# The rest of the loop's options


@pytest.mark.parametrize(
    ("backbone", "size", "message"),
    [
        ("resnet8", 32, "--small-size 32: expected less than the image size, 32"),
        ("vit_tiny_patch16_224", 112, "--small-size 112: vit_tiny_patch16_224 does not take it"),
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


def test_the_history_for_tensorboard(source_run, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "steps": 4, "augment": "none", "batch_size": 40}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), tensorboard=True, **data, **CPU))
    events = EventAccumulator(str(result.run / "tensorboard")).Reload()
    rows = list(csv.DictReader((result.run / "history.csv").open()))
    found = [(event.step, event.value) for event in events.Scalars("train_loss")]
    assert found == [(int(row["step"]), pytest.approx(float(row["train_loss"]))) for row in rows] and len(rows) == 2


def test_the_probe_of_a_class_that_cannot_be_read(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", {"blue": 2, "green": 1, "red": 0})
    for picture in (folder / "red").iterdir():
        picture.write_bytes(b"no picture")
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "method": "linear"}
    result = finetune(FinetuneConfig(dataset=f"folder:{folder}", out=str(tmp_path / "run"), **options, **CPU))
    head = find_checkpoint(result.run).state("head.")
    assert head["bias"].shape == (3,)
    assert result.metrics["images"] == 12
    assert result.metrics["top1"] == 1.0


def test_from_scratch(tmp_path):
    options = {"init": "resnet8", "weights": "none", "steps": 2, "augment": "affine"}
    first, again, other = (
        finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / name), seed=seed, **options, **CPU))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.metrics == again.metrics
    weights = [find_checkpoint(result.run).card["weights_sha256"] for result in (first, again, other)]
    assert weights[0] == weights[1] != weights[2]
    assert first.metrics["evaluated_on"] == TRAIN  # for want of a test set
    with pytest.raises(InputError, match="resnet8 has no published weights"):
        finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "d"), init="resnet8", **CPU))
    with pytest.raises(InputError, match="no checkpoint there"):
        finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "d"), init=str(tmp_path / "none"), **CPU))


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


def test_a_test_set_with_a_foreign_class_is_refused_before_any_work(tmp_path, write_folder):
    train = write_folder(tmp_path / "train", {"blue": 2, "red": 0})
    test = write_folder(tmp_path / "test", {"blue": 2, "pink": 5})
    options = {"init": "resnet8", "weights": "none", "steps": 1}
    with pytest.raises(
        InputError, match=r"test: class 'pink' is not one of the 2 classes of the training \(1 of 2 are not\)"
    ):
        finetune(FinetuneConfig(dataset=f"folder:{train}", test=f"folder:{test}", out=str(tmp_path / "run"), **options))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["full", "linear"])
def test_one_class_is_not_enough(tmp_path, write_folder, method):
    folder = write_folder(tmp_path / "data", {"blue": 2})
    options = {"init": "resnet8", "weights": "none", "method": method}
    with pytest.raises(InputError, match="training needs at least 2 classes, and there is only 'blue'"):
        finetune(FinetuneConfig(dataset=f"folder:{folder}", out=str(tmp_path / "run"), **options))


def test_unreadable_training_images_are_written_down(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", {"blue": 2, "red": 0})
    (folder / "red" / "4.png").write_bytes(b"no picture")
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, "augment": "none"}
    result = finetune(FinetuneConfig(dataset=f"folder:{folder}", out=str(tmp_path / "run"), **options, **CPU))
    assert "left out, unreadable: red/4.png (" in (result.run / "log.txt").read_text()
    assert find_checkpoint(result.run).card["train_counts"] == [6, 5]
    assert result.metrics["images"] == 11


def test_without_a_test_set_some_of_many_training_images_are_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "JUDGED", 50)
    options = {"init": "resnet8", "weights": "none", "method": "linear"}
    result = finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "run"), **options, **CPU))
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


@pytest.mark.parametrize(
    ("given", "head"), [({"method": "knn"}, "knn"), ({"method": "ncm", "space": "centred"}, "centred-cosine")]
)
def test_the_other_heads_are_fitted_kept_and_evaluated(source_run, tmp_path, given, head):
    config = FinetuneConfig(dataset=TRAIN, test=TEST, init=str(source_run), out=str(tmp_path / "run"), **given, **CPU)
    result = finetune(config)
    assert find_checkpoint(result.run).card["head"] == head
    found = evaluate(EvaluateConfig(run=str(result.run), dataset=TEST, **CPU))
    assert found.metrics.top1 == result.metrics["top1"] > 0.2  # chance is 0.1
    assert finetune(config).reused


def test_few_are_those_that_the_representation_saw_few_of(tmp_path):
    tail, balanced = "digits:@train?imbalance=20&per_class=60", "digits:@train?per_class=3"
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, **CPU}
    finetune(FinetuneConfig(dataset=tail, out=str(tmp_path / "first"), **options))
    second = FinetuneConfig(
        dataset=balanced, init=str(tmp_path / "first"), method="crt", out=str(tmp_path / "b"), **CPU
    )
    assert find_checkpoint(finetune(second).run).card["train_counts"] == open_dataset(tail).counts.tolist()
