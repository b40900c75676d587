"""Fine-tuning: from a run and from scratch, from a new, probed or kept classifier."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.backbones.loading import load_backbone
from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from finetune.evaluation.evaluator import EvaluateConfig, evaluate
from finetune.finetuning import FinetuneConfig, finetune
from finetune.model import ImageClassifier
from finetune.training import engine, fitting
from similarity import Subset, SubsetRow

CPU = {"device": "cpu", "precision": "fp32", "workers": 0}
TRAIN, TEST = "digits:@train?per_class=8", "digits:@test?per_class=6"


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


def test_co_training_drops_its_head_and_refuses_what_does_not_fit(source_run, tmp_path):
    def options(out, rows=("digit 1", "digit 7"), source="digits:@test?per_class=3&seed=5", **given):
        Subset(tuple(SubsetRow(source, name, 3, 1, 0.0, ()) for name in rows)).write(tmp_path / "s.csv")
        fixed = {"dataset": TRAIN, "init": str(source_run), "augment": "affine", "steps": 2, "batch_size": 8, **CPU}
        return FinetuneConfig(out=str(tmp_path / out), with_=str(tmp_path / "s.csv"), **fixed | given)

    result = finetune(options("run"))
    card = find_checkpoint(result.run)
    assert card.classes == tuple(f"digit {i}" for i in range(10))
    assert not any("co_train" in name for name in load_file(result.run / "checkpoints" / "last.safetensors"))
    assert "co-trained on 6 images of 2 source classes" in (result.run / "log.txt").read_text()
    with pytest.raises(InputError, match="its co-training data has changed since the run began"):
        finetune(options("run", rows=("digit 1", "digit 2")))
    with pytest.raises(InputError, match=r"`with_` .*: has one class, 'digit 1'; give at least 2"):
        finetune(options("one", rows=("digit 1",)))
    with pytest.raises(InputError, match="`with_`: 6 of its 6 images are test images too"):
        finetune(options("leak", test="digits:@test"))
    assert not (tmp_path / "one").exists() and not (tmp_path / "leak").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"with_": "s.csv", "freeze": 1.0}, "`with_` s.csv: has no effect with `freeze` 1.0, the whole backbone"),
        ({"with_weight": 0.5}, "`with_weight` 0.5: is for `with_`; leave it out"),
        ({"with_": "s.csv", "with_weight": 0.0}, "`with_weight` 0.0: expected above 0"),
        ({"patience": 2}, "`patience` 2: needs `validation`, images to judge the epochs by"),
        ({"milestones": [0.5]}, "`milestones` [0.5]: is for `schedule` step; leave it out"),
        ({"decay": 0.1, "schedule": "cosine"}, "`decay` 0.1: is for `schedule` step; leave it out"),
        (
            {"beta": 0.9, "loss": "balanced-softmax"},
            "`beta` 0.9: is for `loss` cb-softmax, cb-sigmoid, cb-focal, ldam-drw and `sampler` effective",
        ),
        ({"gamma": 2.0, "loss": "cb-sigmoid"}, "`gamma` 2.0: is for `loss` focal, cb-focal; leave it out"),
        (
            {"classifier": "probe", "loss": "ldam"},
            "`loss` ldam: needs a cosine classifier; `classifier` probe is linear",
        ),
        ({"lr": math.inf}, "`lr` inf: expected above 0"),
        (
            {"patience": 2, "milestones": [0.5], "interpolate": 0.5},  # all contradictions at once
            "`milestones` [0.5]: is for `schedule` step; leave it out; `patience` 2: needs `validation`, images to "
            "judge the epochs by; `interpolate` 0.5: needs a classifier that starts trained",
        ),
    ],
)
def test_options_that_would_have_no_effect_are_refused(given, message):
    with pytest.raises(InputError) as refusal:
        FinetuneConfig(dataset=TRAIN, init="resnet8", out="run", **{"weights": "none"} | given)
    assert str(refusal.value).startswith(message)


def test_a_run_cannot_be_its_own_start(tmp_path):
    with pytest.raises(InputError, match="is the folder that `init` is read from; name another folder"):
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
def test_the_summary_has_what_was_given_and_what_was_chosen(given, said):
    assert FinetuneConfig(dataset=TRAIN, out="run", **given).summary() == said


def test_the_log_has_the_chosen_defaults(tmp_path):
    tiny = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 1, "lr": 0.01}
    result = finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "run"), **tiny, **CPU))
    log = (result.run / "log.txt").read_text()
    assert "run: by default classifier new: the start is not a published model" in log
    assert "run: by default weight_decay 0.0005: the rates of nesterov" in log
    assert yaml.safe_load((result.run / "config.yaml").read_text())["weight_decay"] == 0.0005  # complete


def test_what_the_network_saw_is_what_it_is_evaluated_with(source_run, tmp_path):
    size = find_checkpoint(source_run).preprocessing.image_size
    config = FinetuneConfig(
        dataset=TRAIN, init=str(source_run), out=str(tmp_path / "run"), steps=1, crop_pct=0.8, **CPU
    )
    seen = find_checkpoint(finetune(config).run).preprocessing
    assert (seen.image_size, seen.resize) == (size, int(size / 0.8))
    with pytest.raises(InputError, match=r"`crop_pct` 1\.2: expected above 0 and at most 1"):
        replace(config, crop_pct=1.2)


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_statistics_of_batch_normalisation_move_or_stay(source_run, tmp_path, batch_norm):
    data = {"dataset": TRAIN, "init": str(source_run), "steps": 2, "augment": "none", "batch_norm": batch_norm}
    result = finetune(FinetuneConfig(out=str(tmp_path / "run"), lr=0.1, warmup=0.0, **data, **CPU))
    before, after = (find_checkpoint(run).state("backbone.") for run in (source_run, result.run))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.endswith("conv1.weight") for name in moved)
    assert any(name.endswith("running_mean") for name in moved) == (batch_norm == "train")


def test_it_may_start_as_a_probe_or_as_the_classifier_of_the_run(source_run, tmp_path, features_of, head_of):
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
    with pytest.raises(InputError, match="`loss` ldam: needs a cosine classifier; `classifier` keep is linear"):
        finetune(FinetuneConfig(out=str(tmp_path / "x"), classifier="keep", loss="ldam", **still, **CPU))
    with pytest.raises(InputError, match="`init` resnet8: `classifier` keep starts from a trained classifier"):
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
        ({"interpolate": 0.0, "classifier": "probe"}, "`interpolate` 0.0: expected above 0 and at most 1"),
        (
            {"interpolate": 0.5},
            "`interpolate` 0.5: needs a classifier that starts trained; give `classifier` probe or keep",
        ),
    ],
)
def test_a_way_that_is_none_is_refused(given, message):
    with pytest.raises(InputError) as refusal:
        FinetuneConfig(dataset=TRAIN, init="runs/pre", out="run", **given)
    assert str(refusal.value) == message


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


@pytest.mark.parametrize("loss", ["softmax", "ldam"])
def test_the_initial_weights_are_those_of_the_seed_and_the_callers_generator_is_left_alone(tmp_path, monkeypatch, loss):
    def untrained(*_, **__):
        return None

    monkeypatch.setattr(engine, "train", untrained)
    monkeypatch.setattr(fitting, "_warn_if_lost", untrained)
    torch.manual_seed(77)
    before = torch.get_rng_state()
    options = {"init": "resnet8", "weights": "none", "steps": 1, "seed": 5, "loss": loss}
    run = finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "run"), **options, **CPU)).run
    assert torch.equal(torch.get_rng_state(), before)

    torch.manual_seed(5)  # what earlier versions did, once for the backbone and once for the head
    backbone = load_backbone("resnet8", "none")
    torch.manual_seed(5)
    expected = ImageClassifier(backbone, [str(i) for i in range(10)], "cosine" if loss == "ldam" else "linear")
    found = load_file(run / "checkpoints" / "last.safetensors")
    assert torch.equal(found["head.weight"], expected.head.weight)
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(found[f"backbone.{name}"], value)
