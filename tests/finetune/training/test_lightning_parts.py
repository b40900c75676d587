"""Strategies, loggers and callbacks of Lightning by name: what is found, what it is given, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import DeviceStatsMonitor
from lightning.pytorch.loggers import CSVLogger
from lightning_stand_ins import Counter, MemoryLogger

from features.infrastructure.errors import InputError
from finetune import FinetuneConfig
from finetune.training import lightning_parts
from finetune.training.lightning_parts import (
    LOGGERS,
    build_callbacks,
    build_logger,
    check_logger,
    check_strategy,
    logger_options,
)


def test_a_logger_writes_into_the_run_unless_told_otherwise(tmp_path):
    logger = build_logger("csv", [], tmp_path / "run")
    assert isinstance(logger, CSVLogger) and Path(logger.log_dir) == tmp_path / "run" / "csv" / "version_0"
    there = build_logger("CSVLogger", ["name=x", f"save_dir={tmp_path}"], tmp_path / "run")
    assert Path(there.log_dir) == tmp_path / "x" / "version_0"
    own = build_logger("lightning_stand_ins.MemoryLogger", {"tag": "a"}, tmp_path / "run")
    assert isinstance(own, MemoryLogger) and (own.folder, own.tag) == (str(tmp_path / "run"), "a")


def test_options_of_a_logger_are_values_of_yaml():
    words = ["project=birds", "offline=true", "tags=[a, b]", "note=a: b: c", "id=x=y", "name="]
    assert logger_options(words) == {
        "project": "birds",
        "offline": True,
        "tags": ["a", "b"],
        "note": "a: b: c",
        "id": "x=y",
        "name": None,
    }


@pytest.mark.parametrize("name", [name for name in LOGGERS if name != "csv"])
def test_a_missing_package_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setattr(lightning_parts, "find_spec", lambda _: None)
    with pytest.raises(InputError) as refusal:
        check_logger(name, [])
    assert str(refusal.value).endswith(f'the package {name} is missing; run pip install "transfer-toolkit[{name}]"')
    extras = (Path(__file__).parents[3] / "setup.cfg").read_text(encoding="utf-8")
    assert f"\n{name} =\n    {name}>=" in extras


def test_callbacks_by_class_path_and_with_arguments():
    specs = ["DeviceStatsMonitor", {"class_path": "lightning_stand_ins.Counter", "init_args": {"first": 3}}]
    monitor, counter = build_callbacks(specs)
    assert isinstance(monitor, DeviceStatsMonitor) and isinstance(counter, Counter) and counter.images == 3


@pytest.mark.parametrize("name", ["auto", "ddp", "ddp_find_unused_parameters_true"])
def test_strategies_that_leave_the_network_whole(name):
    check_strategy(name)


WRONG = [
    ({"strategy": "fsdp"}, "`strategy` fsdp: every process holds the whole network, for checkpoints, validation and"),
    ({"strategy": "fsdp"}, "For a larger network, `optimizer` sgd and `freeze` need less memory"),
    ({"strategy": "deepspeed_stage_3"}, "`strategy` deepspeed_stage_3: every process holds the whole network"),
    ({"strategy": "ddp_spawn"}, "`strategy` ddp_spawn: every process holds"),
    ({"strategy": "dpp"}, "`strategy` dpp: Lightning has no such strategy; did you mean ddp?"),
    ({"logger": "cvs"}, "`logger` cvs: Lightning has no such logger; did you mean csv?"),
    ({"logger": "nowhere.Logger"}, "`logger` nowhere.Logger: cannot be imported (ModuleNotFoundError: No module named"),
    (
        {"logger": "lightning_stand_ins.Counter"},
        "`logger` lightning_stand_ins.Counter: is not a subclass of lightning.pytorch.loggers.Logger",
    ),
    ({"logger": "csv", "logger_options": ["nam=x"]}, "CSVLogger has no argument nam; did you mean name?"),
    ({"logger": "csv", "logger_options": ["name"]}, "`logger_options` name: expected each option once, as name=value"),
    ({"logger_options": ["name=x"]}, "`logger_options` ['name=x']: is for `logger`; leave it out"),
    ({"callbacks": ["DeviceStatMonitor"]}, "Lightning has no such callback; did you mean DeviceStatsMonitor?"),
    ({"callbacks": [{"class": "Timer"}]}, "`callbacks` {'class': 'Timer'}: expected a class path, or a mapping of"),
    (
        {"callbacks": [{"class_path": "Timer", "init_args": {"hours": 3}}]},
        "`callbacks` Timer: Timer has no argument hours; expected one of duration, interval, verbose",
    ),
    ({"callbacks": ["ModelCheckpoint"]}, "`callbacks` ModelCheckpoint: a run writes checkpoints of its own"),
    ({"callbacks": ["EarlyStopping"]}, "`callbacks` EarlyStopping: give `patience`, and leave it out"),
    (
        {"callbacks": ["GradientAccumulationScheduler"], "accumulate_grad_batches": 2},
        "`callbacks` GradientAccumulationScheduler: give `accumulate_grad_batches`, and leave it out",
    ),
    ({"gradient_clip_val": -1.0}, "`gradient_clip_val` -1.0: expected at least 0"),
    ({"accumulate_grad_batches": 0}, "`accumulate_grad_batches` 0: expected at least 1"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_what_cannot_be_used_is_refused_when_the_options_are_made(given, message):
    with pytest.raises(InputError) as refusal:
        FinetuneConfig(dataset="digits:", init="resnet8", out="run", **given)
    assert message in str(refusal.value)
