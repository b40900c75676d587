"""Defaults that depend on other options, and what the log says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetune import FinetuneConfig, FitClassifierConfig, PretrainConfig
from finetune.shared_options import resolve

TRAIN = "digits:@train?per_class=8"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"init": "efficientnet_lite0"}, ("probe", "adamw", 0.0003, 0.05, 12, "frozen", 0.5)),
        ({"init": "resnet18", "optimizer": "sgd"}, ("probe", "sgd", 0.02, 0.0005, 12, "frozen", 0.5)),
        (
            {"init": "runs/pre", "classifier": "keep", "optimizer": "nesterov"},
            ("keep", "nesterov", 0.02, 0.0005, 12, "frozen", 1.0),
        ),
        # half of the way would keep half of the odds that a balanced loss or sampler takes out
        ({"init": "resnet18", "loss": "balanced-softmax"}, ("probe", "adamw", 0.0003, 0.05, 12, "frozen", 1.0)),
        ({"init": "resnet18", "sampler": "class"}, ("probe", "adamw", 0.0003, 0.05, 12, "frozen", 1.0)),
        ({"init": "efficientnet_lite0", "lr": 0.01, "steps": 5}, ("probe", "adamw", 0.01, 0.05, None, "frozen", 0.5)),
        ({"init": "efficientnet_lite0", "weights": "none"}, ("new", "nesterov", 0.02, 0.0005, 30, "train", 1.0)),
        ({"init": "efficientnet_lite0", "loss": "ldam"}, ("new", "nesterov", 0.02, 0.0005, 30, "train", 1.0)),
        ({"init": "runs/pre"}, ("new", "nesterov", 0.02, 0.0005, 30, "train", 1.0)),
        ({"init": "runs/pre", "optimizer": "adamw"}, ("new", "adamw", 0.0003, 0.05, 30, "train", 1.0)),
        ({"init": "runs/pre", "classifier": "keep"}, ("keep", "adamw", 0.0003, 0.05, 12, "frozen", 1.0)),
    ],
)
def test_from_a_trained_classifier_the_defaults_are_others(given, expected):
    config = FinetuneConfig(dataset=TRAIN, out="run", **given)
    names = ("classifier", "optimizer", "lr", "weight_decay", "epochs", "batch_norm", "interpolate")
    complete, _ = resolve(config)
    assert tuple(getattr(complete, name) for name in names) == expected
    assert replace(complete, seed=1) == resolve(FinetuneConfig(dataset=TRAIN, out="run", seed=1, **given))[0]
    assert resolve(complete) == (complete, ())  # nothing is left to choose


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"init": "efficientnet_lite0"}, 1.0),
        ({"init": "efficientnet_lite0", "crop_pct": 0.9}, 0.9),
        ({"init": "efficientnet_lite0", "classifier": "new"}, None),
        ({"init": "efficientnet_lite0", "weights": "none"}, None),
        ({"init": "runs/pre", "classifier": "probe"}, None),
    ],
)
def test_a_published_model_that_starts_from_a_probe_sees_whole_images(given, expected):
    assert resolve(FinetuneConfig(dataset=TRAIN, out="run", **given))[0].crop_pct == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"init": "efficientnet_lite0", "method": "linear"}, 1.0),
        ({"init": "efficientnet_lite0", "method": "ncm"}, 1.0),
        ({"init": "efficientnet_lite0", "method": "ncm", "crop_pct": 0.9}, 0.9),
        ({"init": "timm/resnet50.a1_in1k", "method": "linear"}, 1.0),
        ({"init": "hf-hub:timm/resnet50.a1_in1k", "method": "linear"}, 1.0),
        ({"init": "transformers:facebook/dinov2-small", "method": "linear"}, 1.0),
        ({"init": "runs/pre", "method": "linear"}, None),
        ({"init": "runs/pre", "method": "lws"}, None),
    ],
)
def test_a_published_model_whose_features_are_fitted_sees_whole_images(given, expected):
    assert resolve(FitClassifierConfig(dataset=TRAIN, out="run", **given))[0].crop_pct == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("balanced-softmax", "nesterov", 0.1, 0.0005, 30, "train")),
        ({"optimizer": "adamw", "steps": 5}, ("balanced-softmax", "adamw", 0.001, 0.05, None, "train")),
        ({"sampler": "sqrt", "loss": None}, ("softmax", "nesterov", 0.1, 0.0005, 30, "train")),
        ({"sampler": "sqrt", "loss": "cb-focal"}, ("cb-focal", "nesterov", 0.1, 0.0005, 30, "train")),
    ],
)
def test_the_defaults_of_pretraining(given, expected):
    """Above all, the default loss does not re-balance a second time."""
    complete = resolve(PretrainConfig(sources=[TRAIN], out="run", **given))[0]
    names = ("loss", "optimizer", "lr", "weight_decay", "epochs", "batch_norm")
    assert tuple(getattr(complete, name) for name in names) == expected


def test_a_folder_with_the_name_of_a_model_changes_no_default(tmp_path, monkeypatch):
    """A name is a run only if it holds one."""
    monkeypatch.chdir(tmp_path)
    config = FinetuneConfig(dataset=TRAIN, out="run", init="resnet50")
    before = resolve(config)
    (tmp_path / "resnet50" / "checkpoints").mkdir(parents=True)
    assert resolve(config) == before and before[0].classifier == "probe"
    (tmp_path / "resnet50" / "checkpoints" / "last.safetensors").write_bytes(b"")
    assert resolve(config)[0].classifier == "new"


def test_a_number_in_text_is_a_number():
    config = FinetuneConfig(dataset=TRAIN, out="run", init="resnet50", validation="12")
    assert resolve(config)[0].validation == 12


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (
            {"init": "resnet18", "lr": 0.01},
            (
                "by default classifier probe: a published model and a softmax loss",
                "by default crop_pct 1.0: a classifier is fitted to the features of a published model",
                "by default optimizer adamw, batch_norm frozen, epochs 12: the classifier starts trained (probe)",
                "by default weight_decay 0.05: the rates of adamw",
                "by default interpolate 0.5: a probe, and neither loss nor sampler re-balances the classes",
            ),
        ),
        ({"init": "runs/pre", "classifier": "new", "optimizer": "sgd", "lr": 1.0, "weight_decay": 0.0, "epochs": 3,
          "batch_norm": "train", "interpolate": 1.0}, ()),
    ],
)  # fmt: skip
def test_the_log_says_what_was_chosen_and_why(given, chosen):
    assert resolve(FinetuneConfig(dataset=TRAIN, out="run", **given))[1] == chosen
