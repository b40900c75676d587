"""What Lightning does for a training: clipping, accumulation, loggers, callbacks and compilation, each by its law."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning_stand_ins import Counter, MemoryLogger
from tiny_training import Killed, history, interrupted, kill, options, same_weights, tiny_network, trained

from features.infrastructure.errors import InputError
from finetune import FinetuneConfig, PretrainConfig
from finetune.run_directory import RunDirectory
from finetune.samplers import build_sampler
from finetune.training import engine
from finetune.training.batches import EpochBatches
from transfer.command_line import check_mapping, read_command_line


def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """The Euclidean distance of all trained weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return float(torch.sqrt(sum((a.detach() - b.detach()).square().sum() for a, b in pairs)))


@pytest.mark.parametrize("clip", [0.01, 0.1])
def test_a_clipped_step_has_the_length_that_is_asked_for(tmp_path, colours, clip):
    plain = {"steps": 1, "optimizer": "sgd", "lr": 0.5, "weight_decay": 0.0, "warmup": 0.0, "schedule": "constant"}
    start = tiny_network(3)
    free = trained(colours(9, 9, 9), options(tmp_path / "free", **plain))
    clipped = trained(colours(9, 9, 9), options(tmp_path / "clipped", gradient_clip_val=clip, **plain))
    loose = trained(colours(9, 9, 9), options(tmp_path / "loose", gradient_clip_val=1e6, **plain))
    assert distance(start, free) > 0.5 * 0.1  # its gradient is longer than both limits
    assert distance(start, clipped) == pytest.approx(0.5 * clip, rel=1e-3)
    assert same_weights(free, loose)


@pytest.mark.parametrize("given", [{}, {"loss": "cb-softmax", "optimizer": "adamw", "lr": 0.01}, {"l2_sp": 0.1}])
def test_batches_that_are_added_up_are_one_large_batch(tmp_path, colours, given):
    given = {"epochs": 3, "batch_norm": "frozen", "sampler": "class", **given}  # statistics of a batch would differ
    large = trained(colours(20, 16, 12), options(tmp_path / "large", batch_size=16, **given))
    parts = trained(colours(20, 16, 12), options(tmp_path / "parts", batch_size=8, accumulate_grad_batches=2, **given))
    assert distance(large, tiny_network(3)) > 0.01
    for one, other in zip(large.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    for one, other in zip(history(tmp_path / "large"), history(tmp_path / "parts"), strict=True):
        assert (one["epoch"], one["step"], one["lr"]) == (other["epoch"], other["step"], other["lr"])
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=2e-5)


def test_the_batches_of_a_step_are_parts_of_one_batch_and_augmented_each_on_its_own(tmp_path, colours, monkeypatch):
    def batches(size: int, parts: int) -> list[list[int]]:
        return list(EpochBatches(build_sampler("shuffle", [0] * 50, seed=1), size, steps=5, start=1, parts=parts))

    whole, split = batches(12, 1), batches(12, 3)
    assert len(split) == 12 == len(EpochBatches(build_sampler("shuffle", [0] * 50), 12, 5, 1, 3))
    assert [[*split[i], *split[i + 1], *split[i + 2]] for i in range(0, 12, 3)] == whole
    seeds: list[int] = []
    seed = engine.TrainingStep._seed
    monkeypatch.setattr(engine.TrainingStep, "_seed", lambda self, value: (seeds.append(value), seed(self, value))[1])
    trained(colours(9, 9), options(tmp_path / "run", steps=3, batch_size=4, accumulate_grad_batches=2))
    assert len(set(seeds)) == 6 and seeds[::2] == [0, 1, 2]


def test_an_epoch_smaller_than_a_step_is_refused(tmp_path, colours):
    with pytest.raises(InputError, match="a step takes 4 batches of 8 images, and there are 18"):
        trained(colours(9, 9), options(tmp_path / "run", steps=1, accumulate_grad_batches=4))


def test_a_training_with_all_of_it_resumes_bit_for_bit(tmp_path, colours, monkeypatch):
    counter = {"class_path": "lightning_stand_ins.Counter", "init_args": {"first": 100}}
    given: dict[str, Any] = {"steps": 9, "batch_size": 4, "accumulate_grad_batches": 2, "gradient_clip_val": 0.5}
    given |= {"augment": "affine", "callbacks": [counter]}
    Counter.totals.clear()
    whole = trained(colours(12, 12), options(tmp_path / "whole", **given), dropout=0.3)
    with monkeypatch.context() as patched:
        interrupted(patched, 4, 6, kill)
        with pytest.raises(Killed):
            trained(colours(12, 12), options(tmp_path / "killed", **given), dropout=0.3)
    resumed = trained(colours(12, 12), options(tmp_path / "killed", **given), dropout=0.3)
    assert "resumed after step 4 of 9" in (tmp_path / "killed" / "log.txt").read_text()
    assert same_weights(whole, resumed)
    assert [Counter.totals[0], Counter.totals[-1]] == [100 + 9 * 8] * 2  # the count goes on as well


def test_a_state_that_cannot_be_read_back_is_not_kept_and_told(tmp_path, colours, monkeypatch):
    odd = {"class_path": "lightning_stand_ins.Counter", "init_args": {"odd": True}}
    with monkeypatch.context() as patched:
        interrupted(patched, 2, 4, kill)
        with pytest.raises(Killed):
            trained(colours(9, 9), options(tmp_path / "run", steps=6, callbacks=[odd]))
    assert "the state of Counter cannot be kept for a resume" in (tmp_path / "run" / "log.txt").read_text()
    trained(colours(9, 9), options(tmp_path / "run", steps=6, callbacks=[odd]))


def rows(run: Path) -> list[tuple[int, dict[str, float]]]:
    with (run / "history.csv").open() as file:
        read = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [(int(row.pop("step")), row) for row in read]


def test_a_logger_has_the_figures_of_the_history(tmp_path, colours):
    MemoryLogger.logged.clear()
    MemoryLogger.ended.clear()
    own = "lightning_stand_ins.MemoryLogger"
    logged = trained(colours(16, 16), options(tmp_path / "run", epochs=3, logger=own, logger_options=["tag=x"]))
    assert MemoryLogger.logged == rows(tmp_path / "run") and len(MemoryLogger.logged) == 3
    assert MemoryLogger.ended == ["success"] and MemoryLogger.options[-1]["epochs"] == 3
    assert same_weights(logged, trained(colours(16, 16), options(tmp_path / "silent", epochs=3)))


def test_lightnings_logger_of_tables_has_them_too(tmp_path, colours):
    trained(colours(16, 16), options(tmp_path / "run", epochs=2, logger="csv"))
    with (tmp_path / "run" / "csv" / "version_0" / "metrics.csv").open() as file:
        found = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [(int(row.pop("step")), row) for row in found] == rows(tmp_path / "run")


def test_tensorboard_is_one_of_them(tmp_path, colours):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(colours(16, 16), options(tmp_path / "run", epochs=2, logger="tensorboard"))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("train_loss")]
    assert found == [(step, pytest.approx(row["train_loss"])) for step, row in rows(tmp_path / "run")]


def test_runs_that_were_made_with_the_option_tensorboard_go_on(tmp_path):
    config = PretrainConfig(sources=["digits:"], out=str(tmp_path / "run"))
    for value, logger in ((False, None), (True, "tensorboard")):
        read = check_mapping(PretrainConfig, {"sources": ["digits:"], "out": "run", "tensorboard": value})
        assert read.get("logger") == logger and "tensorboard" not in read
        run = RunDirectory(tmp_path / f"{value}", config, {})
        written = yaml.safe_load((run.path / "config.yaml").read_text())
        earlier = {name: given for name, given in written.items() if name not in _NEW} | {"tensorboard": value}
        (run.path / "config.yaml").write_text(yaml.safe_dump(earlier))
        assert RunDirectory(run.path, config, {}).metrics is None  # the same run
    with pytest.raises(InputError, match=r"^unknown option --tensorboard; give --logger tensorboard$"):
        read_command_line(FinetuneConfig, ["digits:", "--init", "a", "--out", "b", "--tensorboard"], ["dataset"])


#: Options that earlier versions did not write.
_NEW = {"gradient_clip_val", "accumulate_grad_batches", "compile", "logger", "logger_options", "strategy", "callbacks"}


def test_the_options_stand_in_files_and_on_the_command_line(tmp_path):
    words = ["--callbacks", "Timer", "lightning_stand_ins.Counter", "--logger", "csv", "--logger-options", "name=x"]
    words += ["--gradient-clip-val", "1", "--accumulate-grad-batches", "4", "--compile", "--strategy", "ddp"]
    values, _ = read_command_line(FinetuneConfig, ["digits:", "--init", "a", "--out", "b", *words], ["dataset"])
    typed = FinetuneConfig(**values)
    counter = {"class_path": "lightning_stand_ins.Counter", "init_args": {"first": 3}}
    file = tmp_path / "options.yaml"
    file.write_text(yaml.safe_dump({"callbacks": ["Timer", counter], "logger": "csv", "logger_options": {"name": "x"}}))
    words = ["digits:", "--init", "a", "--out", "b", "--config", str(file)]
    assert FinetuneConfig(**read_command_line(FinetuneConfig, words, ["dataset"])[0]).callbacks == ["Timer", counter]
    run = RunDirectory(tmp_path / "run", typed, {})
    again = yaml.safe_load((run.path / "config.yaml").read_text())
    assert FinetuneConfig(**check_mapping(FinetuneConfig, again | {"out": "b"})) == typed


def test_the_strategy_reaches_lightning_in_a_job_of_several_processes(tmp_path, monkeypatch):
    asked: dict[str, Any] = {}
    monkeypatch.setattr(engine, "world_size", lambda: 2)
    monkeypatch.setattr(engine, "local_world_size", lambda: 2)
    monkeypatch.setattr(engine, "join_job", lambda: None)
    monkeypatch.setattr(engine.pl, "Trainer", lambda **given: asked.update(given))
    for given, reached in (("auto", "ddp"), ("ddp_find_unused_parameters_true",) * 2):
        config = options(tmp_path, strategy=given, gradient_clip_val=2.0, accumulate_grad_batches=3)
        engine._trainer(torch.device("cpu"), "fp32", config, logger=None)
        assert (asked["strategy"], asked["devices"], asked["gradient_clip_val"]) == (reached, 2, 2.0)
        assert asked["accumulate_grad_batches"] == 3


def test_a_callback_that_lacks_something_is_one_line(tmp_path, colours):
    with pytest.raises(InputError, match=r"^Lightning refuses the training: Cannot use `DeviceStatsMonitor`"):
        trained(colours(9, 9), options(tmp_path / "run", steps=1, callbacks=["DeviceStatsMonitor"]))
