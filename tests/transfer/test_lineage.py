"""The runs behind a model, and what of them may be published."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from similarity import Subset
from transfer.cli import main
from transfer.lineage import lineage, published, selecting

NETWORK = ["--backbone", "resnet8", "--device", "cpu", "--precision", "fp32"]
STEPS = ["--steps", 2, "--batch-size", 16, "--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def banks(tmp_path, monkeypatch, said) -> Path:
    """Banks, in the working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name, spec in (("target", "digits:@train?per_class=4"), ("source", "digits:@test?per_class=5")):
        said("extract", spec, "--out", f"banks/{name}.h5", "--weights", "none", *NETWORK)
    return work


@pytest.fixture
def chain(banks, said) -> Path:
    """Banks, a choice, a pre-training on it, and a fine-tuning, with paths from the working directory."""
    chosen = ["--strategy", "nearest", "--classes", 3, "--out", "choice/subset.csv"]
    said("select", "--target", "banks/target.h5", "--source", "banks/source.h5", *chosen)
    said("pretrain", "--subset", "choice/subset.csv", *NETWORK[:2], "--out", "runs/pre", *STEPS)
    tested = ["--test", "digits:@test?per_class=3"]
    said("finetune", "digits:@train?per_class=4", "--init", "runs/pre", *tested, "--out", "runs/digits", *STEPS)
    return banks


def test_a_choice_is_found_behind_a_fine_tuning(chain, monkeypatch, tmp_path):
    found = lineage("runs/digits")
    assert [step.kind for step in found] == ["finetune", "pretrain"]
    ((use, subset),) = found[1].choices
    assert use == "pre-trained on these classes" and len(subset) == 3 and found[0].choices == ()
    assert all(step.notes == () for step in found)
    checkpoint = "runs/digits/checkpoints/last.safetensors"
    assert [step.kind for step in lineage(checkpoint)] == ["finetune", "pretrain"]
    # From elsewhere too: the paths of a run lead from where it was started.
    monkeypatch.chdir(tmp_path)
    assert [len(step.choices) for step in lineage(chain / "runs/digits")] == [0, 1]


def typed(commands: list[str]) -> None:
    for typed_words in commands:
        command, *words = shlex.split(typed_words)
        assert command == "transfer" and main([*words, "--device", "cpu", "--precision", "fp32"]) == 0


def test_the_commands_repeat_the_runs_where_they_were_made(chain):
    commands = [step.command for step in reversed(lineage("runs/digits"))]
    shutil.move("runs", "before")
    typed(commands)
    first, second = (Path(runs, "digits/checkpoints/last.safetensors") for runs in ("before", "runs"))
    assert first.read_bytes() == second.read_bytes()


def test_the_published_commands_repeat_the_runs(chain, capsys, tmp_path, monkeypatch):
    """Each command, run in a folder where the inputs have the names that are left, gives the same weights."""
    found = [step.published() for step in lineage("runs/digits")]
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy("choice/subset.csv", again / "subset.csv")
    monkeypatch.chdir(again)
    typed([step.command for step in reversed(found)])
    config = yaml.safe_load((again / "digits" / "config.yaml").read_text())
    assert config["init"] == "pre" and config["out"] == "digits"
    first, second = (path / "checkpoints" / "last.safetensors" for path in (chain / "runs/digits", again / "digits"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "options", [{"save_dir": "/home/ann/wandb", "project": "secret"}, ["save_dir=/home/ann/wandb", "project=secret"]]
)
def test_options_of_the_machine_and_its_user_are_not_published(chain, options):
    path = Path("runs/pre/config.yaml")
    callback = {"class_path": "birds.Watch", "init_args": {"dirpath": "/home/ann/watched"}}
    private = {"logger": "wandb", "logger_options": options, "strategy": "ddp", "workers": 3}
    content = yaml.safe_load(path.read_text()) | private | {"callbacks": ["DeviceStatsMonitor", callback]}
    path.write_text(yaml.safe_dump(content))
    step = lineage("runs/digits")[1].published()
    assert not (private.keys() | {"callbacks", "device"}) & step.config.keys()
    assert step.notes == ("it ran with the callbacks DeviceStatsMonitor, Watch, which the command leaves out",)
    published_of_it = f"{step.config} {step.command}"
    assert not any(word in published_of_it for word in ("ann", "secret", "wandb", "ddp", "watched", "--workers"))
    assert "--precision fp32" in step.command  # it changes the weights


def test_what_has_moved_is_a_note(chain):
    Path("choice/subset.csv").unlink()
    assert lineage("runs/digits")[1].notes == ("the file of its source classes, subset.csv, was not at hand",)
    shutil.rmtree("runs/pre")
    (step,) = lineage("runs/digits")
    assert step.notes == ("the run that it started from, pre, was not at hand",)


def test_a_checkpoint_outside_of_a_run_has_no_lineage(chain, tmp_path):
    for name in ("last.safetensors", "last.json"):
        shutil.copy(f"runs/digits/checkpoints/{name}", tmp_path / name)
    assert lineage(tmp_path / "last.safetensors") == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/ann/runs/pre", "pre"),
        ("runs/pre", "pre"),
        ("cub:/home/ann/CUB@train", "cub:CUB@train"),
        ("cub:/a/CUB@train + inat:/b/x.json", "cub:CUB@train + inat:x.json"),
        (["folder:/a/b", "digits:"], ["folder:b", "digits:"]),
        ("hf-hub:timm/resnet50.a1_in1k", "hf-hub:timm/resnet50.a1_in1k"),
        ("timm/resnet50.a1_in1k", "timm/resnet50.a1_in1k"),
        ("local-dir:/home/ann/model", "local-dir:model"),
        ({"dirpath": "/home/ann/x", "every": 2}, {"dirpath": "x", "every": 2}),
        ([{"init_args": {"paths": ["/home/ann/x"]}}], [{"init_args": {"paths": ["x"]}}]),
        ("crop-flip+randaugment", "crop-flip+randaugment"),
        (0.5, 0.5),
        (None, None),
    ],
)
def test_what_is_published_of_a_value(value, shown):
    assert published(value) == shown


@pytest.mark.parametrize(
    "options",
    [
        "--strategy nearest --classes 3",
        "--strategy nearest --classes 10",
        "--strategy nearest --drop 4",
        "--strategy all",
        "--strategy nearest --images 17",
        "--strategy importance --coverage 0.5",
        "--strategy importance",
    ],
)
def test_the_command_of_a_choice_makes_it_again(banks, tmp_path, monkeypatch, said, options):
    command = ["--target", "banks/target.h5", "--source", "banks/source.h5", "--out", "choice.csv"]
    said("select", *command, *options.split())
    subset = Subset.read("choice.csv")
    again = tmp_path / "banks"
    shutil.copytree("banks", again)
    monkeypatch.chdir(again)
    assert main(shlex.split(selecting(subset))[1:]) == 0
    assert Subset.read("subset.csv").rows == subset.rows
