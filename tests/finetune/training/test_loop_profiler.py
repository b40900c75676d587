"""A training that is measured: it is the same training, and the slow part is named."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from tiny_training import Killed, history, interrupted, kill, options, same_weights, tiny_network

from features.decoding import Decoder
from features.infrastructure import profiling
from features.infrastructure.formats.tables import read_provenance, read_rows
from features.infrastructure.interruptions import Interrupted
from features.infrastructure.profiling import profiled
from finetune import FinetuneConfig, finetune
from finetune.losses import LongTailLoss, build_loss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory, open_run
from finetune.training import batches, step, validation
from finetune.training.batches import TrainingImages
from finetune.training.engine import train
from finetune.training.optimizer import WeightAverage
from finetune.training.validation import Validator
from transfer.run_description import describe

#: Stages of every training.
LOOP = ["wait for images", "transfer to device", "optimizer step", "augment", "forward", "loss", "backward"]


def trained(dataset, out: Path, profile: bool, validated: bool = False, **given) -> ImageClassifier:
    """Train a tiny network, measured or not."""
    config = options(out, profile=profile, **given)
    run = RunDirectory(out, config, {})
    model, loss = tiny_network(len(dataset.classes), dropout=0.3), build_loss(config.loss, dataset.counts)
    with profiled(profile, "cpu", out, out / "profile.csv", out / "trace.json") as stages:
        images = TrainingImages(dataset, model.backbone.preprocessing, config.workers, stages)
        validator = Validator(dataset, model, loss, 8, 0) if validated else None
        train(model, images, loss, config, run, validator, stages=stages)
    return model


def seconds_of(run: Path) -> dict[str, float]:
    rows = read_rows(run / "profile.csv", profiling.COLUMNS, kind="profile")
    return {row["stage"]: float(row["seconds"]) for _, row in rows}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("given", [{}, {"accumulate_grad_batches": 2, "ema": 0.9}])
def test_the_weights_are_those_without_it(tmp_path, colours, monkeypatch, workers, given):
    monkeypatch.setattr(batches, "MEMORY_SHARE", 0)
    dataset, fixed = colours(20, 20), {"epochs": 4, "workers": workers, "augment": "affine", "batch_size": 4, **given}
    plain, measured = (trained(dataset, tmp_path / str(profile), profile, **fixed) for profile in (False, True))
    assert same_weights(plain, measured)
    one, two = (history(tmp_path / str(profile)) for profile in (False, True))
    assert [row["train_loss"] for row in one] == [row["train_loss"] for row in two]
    seconds = seconds_of(tmp_path / "True")
    assert set(LOOP) <= set(seconds) and list(seconds)[-1] == "decode"
    own = sum(value for name, value in seconds.items() if name not in ("all", "decode"))
    assert own == pytest.approx(seconds["all"], abs=1e-4)
    assert read_provenance(tmp_path / "True" / "profile.csv", kind="")["images"] == 4 * 40
    assert not (tmp_path / "False" / "profile.csv").exists()
    events = [event["name"] for event in json.loads((tmp_path / "True" / "trace.json").read_text())["traceEvents"]]
    assert all(events.count(name) == 5 for name in ("wait for images", "forward", "loss", "backward"))


@pytest.mark.parametrize(
    ("slow", "stage", "said"),
    [
        ((Decoder, "__getitem__"), "wait for images", "waiting for images"),
        ((step.TrainingStep, "_inputs"), "augment", "augmenting the images"),
        ((ImageClassifier, "classify"), "forward", "the network's forward and backward pass"),
        ((LongTailLoss, "_checked"), "loss", "the network's forward and backward pass"),
        ((torch.Tensor, "backward"), "backward", "the network's forward and backward pass"),
        ((torch.optim.SGD, "step"), "optimizer step", "the optimizer's step, averages and history"),
        ((WeightAverage, "update"), "averages and history", "the optimizer's step, averages and history"),
        ((validation.Validator, "__call__"), "validation", "judging the model"),
    ],
)
def test_what_is_slow_is_named(tmp_path, colours, monkeypatch, slow, stage, said):
    """By a clock that moves in the slow part alone."""
    passed, function = [0.0], getattr(*slow)

    def slowed(*arguments, **named):
        passed[0] += 8 * (stage != "forward" or arguments[0].training)
        return function(*arguments, **named)

    monkeypatch.setattr(batches, "MEMORY_SHARE", 0)
    monkeypatch.setattr(*slow, slowed)
    monkeypatch.setattr(profiling.StageClock.__init__, "__defaults__", (lambda: None, lambda: passed[0]))
    trained(colours(8, 8), tmp_path / "run", True, validated=stage == "validation", epochs=3, ema=0.9)
    seconds = seconds_of(tmp_path / "run")
    assert seconds[stage] == seconds["all"] == passed[0] >= 3 * 8
    verdict = read_provenance(tmp_path / "run" / "profile.csv", kind="")["verdict"]
    assert verdict.startswith(f"100% of the time after the start was {said}")


def test_a_killed_run_resumes_with_it_and_without(tmp_path, colours, monkeypatch):
    dataset = colours(15, 9, 3)
    whole = trained(dataset, tmp_path / "whole", False, steps=17)
    for first in (True, False):
        out = tmp_path / str(first)
        with monkeypatch.context() as patched:
            interrupted(patched, 7, 11, kill)
            with pytest.raises(Killed):
                trained(dataset, out, first, steps=17)
        assert not (out / "profile.csv").exists()
        assert same_weights(whole, trained(dataset, out, not first, steps=17))
        assert "resumed after step 7 of 17" in (out / "log.txt").read_text()


def test_a_signal_ends_it_with_a_table(tmp_path, colours, monkeypatch, listening):
    dataset = colours(9, 9)
    whole = trained(dataset, tmp_path / "whole", False, steps=8)
    with monkeypatch.context() as patched:
        interrupted(patched, 3, 5, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Interrupted, match="SIGTERM"):
            trained(dataset, tmp_path / "run", True, steps=8)
    assert read_provenance(tmp_path / "run" / "profile.csv", kind="")["images"] == 5 * 8
    assert same_weights(whole, trained(dataset, tmp_path / "run", False, steps=8))


def test_a_run_is_the_same_run_with_it(tmp_path, write_folder):
    folder = write_folder(tmp_path / "images", {"a": 0, "b": 1})
    given = {"init": "resnet8", "weights": "none", "image_size": 16, "batch_size": 4, "epochs": 4, "validation": 1}
    given |= {"device": "cpu", "precision": "fp32", "workers": 0}
    runs = [
        finetune(FinetuneConfig(dataset=f"folder:{folder}", out=str(tmp_path / str(profile)), profile=profile, **given))
        for profile in (False, True)
    ]
    plain, measured = (open_run(result.run) for result in runs)
    assert {**plain["config"], "out": ""} == {**measured["config"], "out": ""}
    assert plain["metrics"] == measured["metrics"] and "profile" not in describe(
        {**measured["config"], "profile": True}
    )
    for name in ("best", "last"):
        weights = [(result.run / "checkpoints" / f"{name}.safetensors").read_bytes() for result in runs]
        assert weights[0] == weights[1]
    left = [{str(path.relative_to(result.run)) for path in result.run.rglob("*")} for result in runs]
    assert left[1] - left[0] == {"profile.csv", "trace.json"} and left[0] <= left[1]
    seconds = seconds_of(runs[1].run)
    assert {"start", "decode once, before the loop", "validation", "evaluation at the end", "save"} < set(seconds)
    again = FinetuneConfig(dataset=f"folder:{folder}", out=str(tmp_path / "False"), profile=True, **given)
    assert finetune(again).reused and not (tmp_path / "False" / "profile.csv").exists()
