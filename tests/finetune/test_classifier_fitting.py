"""Second-stage classifiers, fitted to the frozen features of a run: each against the same fit by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features import open_dataset
from features.backbones.loading import load_backbone
from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from finetune.classifier_fitting import FitClassifierConfig, fit_classifier
from finetune.classifiers import ClassifierRetraining, LearnableWeightScaling, TauNormalisation
from finetune.classifiers.second_stage import TrainedClassifier
from finetune.evaluation.evaluator import EvaluateConfig, evaluate
from finetune.finetuning import FinetuneConfig, finetune
from finetune.losses import log_prior
from finetune.model import ImageClassifier

CPU = {"device": "cpu", "precision": "fp32", "workers": 0}
TRAIN, TEST = "digits:@train?per_class=8", "digits:@test?per_class=6"
HELD_OUT = "digits:@train?per_class=4&seed=36"  # shares no image with TRAIN


def test_the_linear_probe_is_scikit_learns_logistic_regression(source_run, tmp_path, features_of):
    config = FitClassifierConfig(
        dataset=TRAIN, test=TEST, init=str(source_run), out=str(tmp_path / "run"), method="linear", **CPU
    )
    result = fit_classifier(config)
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
    again = fit_classifier(config)
    assert again.reused
    assert again.metrics == result.metrics


@pytest.fixture
def expected_head(features_of, head_of) -> Callable[[str, Path], tuple[np.ndarray, np.ndarray]]:
    """A function that fits a method by hand: method, run → weight and bias on features taken image by image."""

    def fit(method: str, run: Path) -> tuple[np.ndarray, np.ndarray]:
        features, labels = features_of(TRAIN, run)
        weight, bias = head_of(run)
        if method == "crt":
            fitted = ClassifierRetraining(seed=4).fit(features, labels)
        elif method == "lws":
            fitted = LearnableWeightScaling(weight, bias, seed=4).fit(features, labels)
        else:
            fitted = TauNormalisation(weight).fit(*features_of(HELD_OUT, run))
        return fitted.weight_, fitted.bias_

    return fit


@pytest.mark.parametrize("method", ["crt", "lws", "tau"])
def test_a_classifier_is_fitted_and_the_backbone_stays_as_it_is(source_run, tmp_path, method, head_of, expected_head):
    given = {"validation": HELD_OUT} if method == "tau" else {}
    options = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "method": method, "seed": 4}
    result = fit_classifier(FitClassifierConfig(out=str(tmp_path / "run"), **options, **given, **CPU))
    weight, bias = expected_head(method, source_run)
    np.testing.assert_allclose(head_of(result.run)[0], weight, rtol=1e-3, atol=1e-4 * np.abs(weight).max())
    np.testing.assert_allclose(head_of(result.run)[1], bias, rtol=1e-3, atol=1e-3 * max(1e-3, np.abs(bias).max()))
    before, after = find_checkpoint(source_run).state("backbone."), find_checkpoint(result.run).state("backbone.")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert ("τ = " in (result.run / "log.txt").read_text()) == (method == "tau")
    assert fit_classifier(FitClassifierConfig(out=str(tmp_path / "run"), **options, **given, **CPU)).reused
    config = yaml.safe_load((result.run / "config.yaml").read_text())
    assert FitClassifierConfig(**config).method == method  # what is written runs again
    assert not {"epochs", "lr", "loss", "augment", "classifier", "space"} & set(config)  # which it does not read
    assert ("tau" in config) == ("validation" in config and method == "tau")


def test_tau_zero_is_the_trained_classifier_without_its_bias(source_run, tmp_path, head_of):
    options = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "method": "tau", "tau": 0.0}
    result = fit_classifier(FitClassifierConfig(out=str(tmp_path / "run"), **options, **CPU))
    np.testing.assert_array_equal(head_of(result.run)[0], head_of(source_run)[0])
    assert (head_of(result.run)[1] == 0).all()


@pytest.mark.parametrize("tau", [None, 0.5])
@pytest.mark.parametrize("given", ["digits:@train?imbalance=8&per_class=40", TRAIN])
def test_post_hoc_logit_adjustment_is_that_of_the_logits(tmp_path, tau, given, head_of):
    """The shares are those of the images that the classifier was trained on, whatever images are given now."""
    tail = "digits:@train?imbalance=8&per_class=40"
    tiny = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 2, **CPU}
    source = finetune(FinetuneConfig(dataset=tail, out=str(tmp_path / "source"), **tiny)).run
    options = {"dataset": given, "test": TEST, "init": str(source), "method": "logit-adjusted", "tau": tau}
    result = fit_classifier(FitClassifierConfig(out=str(tmp_path / "run"), **options, **CPU))
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
    found = fit_classifier(FitClassifierConfig(out=str(tmp_path / "tau"), method="tau", tau=0.0, **options))
    assert find_checkpoint(found.run).card["sigmoid"] == (loss == "sigmoid")
    adjusted = FitClassifierConfig(out=str(tmp_path / "adjusted"), method="logit-adjusted", **options)
    if loss == "softmax":
        assert find_checkpoint(fit_classifier(adjusted).run).card["sigmoid"] is False
        return
    with pytest.raises(InputError, match="source: `method` logit-adjusted shifts the scores of a softmax"):
        fit_classifier(adjusted)


def test_the_nearest_class_mean_becomes_a_cosine_head(source_run, tmp_path, features_of):
    options = {"dataset": TRAIN, "test": TEST, "init": str(source_run), "method": "ncm"}
    result = fit_classifier(FitClassifierConfig(out=str(tmp_path / "run"), **options, **CPU))
    features, labels = features_of(TRAIN, source_run)
    unseen, truth = features_of(TEST, source_run)
    means = np.stack([features[labels == c].mean(0) for c in range(10)])
    cosine = (unseen / np.linalg.norm(unseen, axis=1)[:, None]) @ (means / np.linalg.norm(means, axis=1)[:, None]).T
    assert result.metrics["top1"] == pytest.approx((cosine.argmax(1) == truth).mean())
    assert find_checkpoint(result.run).card["head"] == "cosine"
    again = {**options, "init": str(result.run), "method": "lws"}
    with pytest.raises(InputError, match="`method` lws needs a linear classifier, and this run's is cosine"):
        fit_classifier(FitClassifierConfig(out=str(tmp_path / "other"), **again, **CPU))


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
    found = TrainedClassifier.of(str(tmp_path / "shuffled"), names, "`method` tau")
    np.testing.assert_array_equal(found.weight, model.head.weight.detach().numpy())
    np.testing.assert_array_equal(found.bias, model.head.bias.detach().numpy())


def test_what_lws_and_tau_start_from(source_run, tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", {"blue": 2, "digit 3": 1})
    options = {"out": str(tmp_path / "run"), "method": "lws"}
    with pytest.raises(
        InputError, match="`init` resnet8: `method` lws starts from a trained classifier; give a finished run"
    ):
        fit_classifier(FitClassifierConfig(dataset=TRAIN, init="resnet8", weights="none", **options, **CPU))
    with pytest.raises(InputError, match="the dataset's 2 classes; 10 are not in both, such as 'blue'"):
        fit_classifier(FitClassifierConfig(dataset=f"folder:{folder}", init=str(source_run), **options, **CPU))
    options = {"out": str(tmp_path / "run"), "method": "tau", "validation": f"folder:{folder}"}
    with pytest.raises(InputError, match="class 'blue' is not one of the 10 classes of the training"):
        fit_classifier(FitClassifierConfig(dataset=TRAIN, init=str(source_run), **options, **CPU))
    assert not (tmp_path / "run").exists()


def test_the_probe_of_a_class_that_cannot_be_read(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", {"blue": 2, "green": 1, "red": 0})
    for picture in (folder / "red").iterdir():
        picture.write_bytes(b"no picture")
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "method": "linear"}
    result = fit_classifier(
        FitClassifierConfig(dataset=f"folder:{folder}", out=str(tmp_path / "run"), **options, **CPU)
    )
    head = find_checkpoint(result.run).state("head.")
    assert head["bias"].shape == (3,)
    assert result.metrics["images"] == 12
    assert result.metrics["top1"] == 1.0


@pytest.mark.parametrize(
    ("given", "head"), [({"method": "knn"}, "knn"), ({"method": "ncm", "space": "centred"}, "centred-cosine")]
)
def test_the_other_heads_are_fitted_kept_and_evaluated(source_run, tmp_path, given, head):
    config = FitClassifierConfig(
        dataset=TRAIN, test=TEST, init=str(source_run), out=str(tmp_path / "run"), **given, **CPU
    )
    result = fit_classifier(config)
    assert find_checkpoint(result.run).card["head"] == head
    found = evaluate(EvaluateConfig(run=str(result.run), dataset=TEST, **CPU))
    assert found.metrics.top1 == result.metrics["top1"] > 0.2  # chance is 0.1
    assert fit_classifier(config).reused


def test_few_are_those_that_the_representation_saw_few_of(tmp_path):
    tail, balanced = "digits:@train?imbalance=20&per_class=60", "digits:@train?per_class=3"
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, **CPU}
    finetune(FinetuneConfig(dataset=tail, out=str(tmp_path / "first"), **options))
    second = FitClassifierConfig(
        dataset=balanced, init=str(tmp_path / "first"), method="crt", out=str(tmp_path / "b"), **CPU
    )
    assert find_checkpoint(fit_classifier(second).run).card["train_counts"] == open_dataset(tail).counts.tolist()


# What is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "tau"}, "`method` tau: give `validation`, images to choose τ on, or"),
        (
            {"method": "tau", "tau": 1.0, "validation": TEST},
            "`method` tau: `validation` and `tau` are both given; give one: `validation`, images to choose τ on, or",
        ),
        ({"method": "tau", "tau": float("nan")}, "`tau` nan: expected at least 0"),
        ({"method": "tau", "validation": "0"}, "`validation` 0: expected a dataset, or at least 1 image of each class"),
        ({"method": "crt", "tau": 1.0}, "`tau` 1.0: is for `method` logit-adjusted, tau; leave it out"),
        ({"method": "crt", "validation": TEST}, "`validation` digits:@test?per_class=6: is for `method` tau; leave it"),
        ({"method": "knn", "space": "euclidean"}, "`space` euclidean: is for `method` ncm; leave it out"),
        ({"method": "full"}, "`method` full: there is no such method; expected one of ncm, knn, logit-adjusted"),
        (
            {"method": "crt", "batch_size": 1, "crop_pct": 2.0},
            "`batch_size` 1: expected at least 2 and at most 1048576; `crop_pct` 2.0",
        ),
    ],
)
def test_options_that_contradict_each_other_or_the_method_are_refused(given, message):
    with pytest.raises(InputError) as refusal:
        FitClassifierConfig(dataset=TRAIN, init="resnet8", out="run", **given)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize("option", ["lr", "epochs", "weight_decay", "classifier", "interpolate", "search", "loss"])
def test_options_of_the_training_loop_are_none_of_these(option):
    assert option not in {one.name for one in fields(FitClassifierConfig)}


# Runs of earlier versions, which fitted classifiers as `finetune --method …`


def as_earlier_versions_wrote_it(run: Path, **more) -> None:
    """Change the configuration of a run to what an earlier version wrote for the same command."""
    written = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(written | more))


UNREAD = {"epochs": None, "optimizer": None, "loss": "softmax", "sampler": "shuffle", "patience": 0, "beta": 0.9999}


@pytest.mark.parametrize("more", [{}, UNREAD, {"milestones": [0.8, 0.9], "validation": None, "space": "cosine"}])
def test_a_run_of_an_earlier_version_is_reused(source_run, tmp_path, more):
    config = FitClassifierConfig(dataset=TRAIN, init=str(source_run), out=str(tmp_path / "a"), method="crt", **CPU)
    first = fit_classifier(config)
    as_earlier_versions_wrote_it(first.run, **more)
    again = fit_classifier(config)
    assert again.reused and again.metrics == first.metrics
    with pytest.raises(InputError, match=r"holds another run \(method is 'crt', asked for 'linear'\)"):
        fit_classifier(replace(config, method="linear"))


def test_a_run_that_an_earlier_version_trained_is_no_fitted_classifier_and_the_other_way_round(source_run, tmp_path):
    data = {"dataset": TRAIN, "init": str(source_run), **CPU}
    fitted = FitClassifierConfig(out=str(tmp_path / "a"), method="crt", **data)
    trained = FinetuneConfig(out=str(tmp_path / "b"), steps=1, **data)
    fit_classifier(fitted)
    finetune(trained)
    as_earlier_versions_wrote_it(tmp_path / "b", method="full", space="cosine")
    assert finetune(trained).reused
    with pytest.raises(InputError, match="holds another run"):
        finetune(replace(trained, out=fitted.out))
    with pytest.raises(InputError, match="holds another run"):
        fit_classifier(replace(fitted, out=trained.out))
    as_earlier_versions_wrote_it(tmp_path / "b", method="crt")
    with pytest.raises(InputError, match=r"holds another run \(method is 'crt', asked for without it\)"):
        finetune(trained)


# The generator of the library's user


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_random_numbers_of_the_caller_are_left_alone(tmp_path, method):
    torch.manual_seed(77)
    before = torch.get_rng_state()
    options = {"init": "resnet8", "weights": "none", "image_size": 16, "method": method, "seed": 5}
    fit_classifier(FitClassifierConfig(dataset=TRAIN, out=str(tmp_path / "run"), **options, **CPU))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)  # the weights are those of a global generator with this seed
    assert find_checkpoint(tmp_path / "run").card["weights_sha256"] == load_backbone("resnet8", "none").weights_sha256()
