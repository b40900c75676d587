"""The search: its trials, its judge, and what is trained in the end."""

from __future__ import annotations

import json

import pytest

from features import open_dataset
from features.infrastructure.errors import InputError
from finetune import FinetuneConfig, finetune
from finetune.shared_options import TrainingConfig
from finetune.training import search
from finetune.training.fitting import TrainingResult
from finetune.training.search import best_options

CPU = {"device": "cpu", "precision": "fp32", "workers": 0}


def test_the_best_trial_decides_and_the_test_is_never_looked_at(tmp_path):
    asked = []

    def train(trial: TrainingConfig) -> TrainingResult:
        asked.append(trial)
        macro = 0.5 - abs(trial.lr - 0.3) - abs(trial.weight_decay - 0.01)
        return TrainingResult(tmp_path, {"validation": {"macro": macro}}, reused=False)

    said: list[str] = []
    options = {"test": "digits:@test", "lr": 0.1, "weight_decay": 0.001, "search": True, "profile": True}
    config = TrainingConfig(out=str(tmp_path / "run"), **options)
    best = best_options(config, train, open_dataset("digits:@train?per_class=10"), say=said.append)
    assert (best.lr, best.weight_decay) == pytest.approx((0.3, 0.01))
    assert best.test == "digits:@test" and best.validation is None and not best.search and best.out == config.out
    assert len(asked) == len(said) == len({trial.out for trial in asked}) == 6
    assert all(trial.test is None and trial.validation == 2 and not trial.search for trial in asked)
    assert best.profile and not any(trial.profile for trial in asked)
    assert sorted({round(trial.lr, 6) for trial in asked}) == [0.033333, 0.1, 0.3]
    assert json.loads((tmp_path / "run.search" / "search.json").read_text())["best"]["lr"] == pytest.approx(0.3)


def test_a_search_ends_in_one_run_and_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "RATES", (1.0, 0.01))
    monkeypatch.setattr(search, "DECAYS", (1.0,))
    options = {"dataset": "digits:@train?per_class=10", "test": "digits:@test?per_class=5", "init": "resnet8"}
    options |= {"weights": "none", "steps": 12, "batch_size": 20, "augment": "none", "lr": 0.2, "search": True}
    config = FinetuneConfig(out=str(tmp_path / "run"), **options, **CPU)
    first, again = finetune(config), finetune(config)
    assert not first.reused and again.reused and again.metrics == first.metrics
    assert "validation" not in first.metrics and first.metrics["images"] == 50
    trials = json.loads((tmp_path / "run.search" / "search.json").read_text())["trials"]
    assert [trial["lr"] for trial in trials] == [0.2, 0.002]


def test_a_class_of_one_image_has_none_to_hold_out(tmp_path):
    config = TrainingConfig(out=str(tmp_path / "run"), search=True)
    with pytest.raises(InputError, match="`search`: a class has a single image, none to hold out; give `validation`"):
        best_options(config, lambda trial: pytest.fail("a trial was run"), open_dataset("digits:@train?per_class=1"))
