"""The command line: exit status, one line for wrong input, JSON alone on standard output, help."""

from __future__ import annotations

import errno
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docstring_parser import parse

from transfer import cli
from transfer.arguments import _field_docs
from transfer.cli import COMMANDS, main

TRAIN, TEST = "digits:@train?per_class=5", "digits:@test?per_class=4"
NETWORK = ["--weights", "none", "--device", "cpu", "--precision", "fp32"]


def flat(text: str) -> str:
    """Without white space: help is wrapped, also within words with a hyphen."""
    return "".join(text.split())


@pytest.fixture
def said(capsys):
    """A function that runs a command with ``--json`` and reads the one document on standard output."""

    def run(*argv: object) -> dict:
        capsys.readouterr()
        status = main([*map(str, argv), "--json"])
        out, err = capsys.readouterr()
        assert status == 0, err
        assert out.count("\n") == 1
        return json.loads(out)

    return run


@pytest.fixture
def refused(capsys):
    """A function that runs a command that must end with status 2 and one line, and returns the line."""

    def run(*argv: object) -> str:
        capsys.readouterr()
        status = main([*map(str, argv)])
        out, err = capsys.readouterr()
        assert status == 2
        assert out == ""
        assert "Traceback" not in err
        (line,) = err.splitlines()
        assert line.startswith(f"transfer {argv[0]}: error: ")
        return line

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory that the tests below share: banks and runs are made once."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture
def made_bank(place, said):
    """A function that extracts the bank of a spec, once."""

    def make(name: str, spec: str) -> Path:
        path = place / f"{name}.h5"
        if not path.exists():
            said("extract", spec, "--out", path, "--backbone", "resnet8", *NETWORK)
        return path

    return make


@pytest.fixture
def made_run(place, said) -> Path:
    """A pre-training of two steps, made once."""
    out = place / "pre"
    if not (out / "metrics.json").exists():
        said("pretrain", TRAIN, "--out", out, "--backbone", "resnet8", "--steps", 2, "--batch-size", 16, *NETWORK)
    return out


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_docstrings_say(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    module, _, name = COMMANDS[command].config.partition(":")
    config = getattr(importlib.import_module(module), name)
    assert flat(parse(config.__doc__).short_description) in flat(out)
    for option, text in _field_docs(config).items():
        assert flat(text) in flat(out), option
        assert (option if option in COMMANDS[command].positional else f"--{option.replace('_', '-')}") in out
    assert "--json" in out
    assert "--config FILE.yaml" in out


def test_the_commands_in_the_order_of_use(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    names = [
        "extract",
        "merge",
        "duplicates",
        "cluster",
        "rank",
        "select",
        "pretrain",
        "finetune",
        "fit-classifier",
        "evaluate",
        "compare",
        "run",
        "report",
        "demo",
        "inspect",
    ]
    assert list(COMMANDS) == names
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert listed == names
    for name in names:
        assert COMMANDS[name].summary in out
    assert main([]) == 2
    assert "usage: transfer COMMAND" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("transfer 0.")


# Wrong input


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("extrac digits:", "there is no such command; did you mean extract?"),
        ("xyz", "there is no such command; expected one of extract, merge, duplicates,"),
        ("extract", "missing: dataset, --out"),
        ("extract folder:nowhere --out a.h5", "no such directory: nowhere"),
        ("extract foldr:nowhere --out a.h5", "unknown scheme 'foldr'; did you mean folder?"),
        ("extract nowhere --out a.h5", "has no scheme: expected scheme:location[@split], such as folder:nowhere@train"),
        ("extract digits: more --out a.h5", "too many values: more"),
        ("extract digits: --out a.h5 --bach-size 3", "unknown option --bach-size; did you mean --batch-size?"),
        ("extract digits: --out a.h5 --batch 3", "unknown option --batch"),
        ("extract digits: --out a.h5 --batch-size many", "--batch-size many: expected a whole number"),
        ("extract digits: --out a.h5 --image-size 1.5", "--image-size 1.5: expected a whole number"),
        ("extract digits: --out a.h5 --precision fp8", "--precision fp8: expected one of auto, fp32, bf16"),
        ("extract digits: --out", "argument --out: expected one argument"),
        ("cluster", "missing: bank, --out"),
        ("cluster a.h5 --out b.h5", "a.h5: no such feature bank; make one with: transfer extract"),
        ("cluster a.h5 --out b.h5 --clusters 1", "--clusters 1: expected at least 2"),
        ("duplicates a.h5 --out b.csv", "missing: --against"),
        ("duplicates a.h5 --against b.h5 --out c.csv --threshold 2", "--threshold 2.0: expected above 0 and at most 1"),
        ("rank --target a.h5", "rank: give --source, banks of source domains"),
        ("rank --target a.h5 --source b.h5", "a.h5: no such feature bank; make one with: transfer extract"),
        ("select --target a.h5 --source b.h5 --classes 0", "--classes 0: expected at least 1"),
        ("select --target a.h5 --source b.h5 --classes few", "--classes few: expected a whole number"),
        ("pretrain --out r", "pre-training needs a source: give SOURCES, dataset specs, or --subset"),
        ("pretrain digits: --out r --subset none.csv", "none.csv: no such subset file"),
        ("pretrain digits: --out r --epochs 1 --steps 1", "give one"),
        ("pretrain digits: --out r --beta high", "--beta high: expected a number or auto"),
        ("pretrain digits: --out r --seed -1", "--seed -1: expected at least 0 and below 4294967296"),
        ("pretrain digits: --out r --backbone resnet8 --weights none.pth", "--weights none.pth: no such file"),
        ("finetune digits: --init nowhere/run --out r", "nowhere/run: no checkpoint there"),
        ("evaluate nowhere digits:", "nowhere: no trained model there; expected a finished run directory"),
        ("evaluate nowhere", "missing: dataset"),
        ("run nowhere.yaml", "nowhere.yaml: No such file or directory; expected a YAML file"),
        ("report nowhere", "nowhere: nothing to report"),
        ("inspect nowhere", "nowhere: not a dataset spec"),
        ("demo --steps 3", "unknown option --steps"),
        ("pretrain digits: --out r --config", "--config needs a YAML file"),
        ("pretrain digits: --out r --config=", "--config needs a YAML file"),
        ("pretrain digits: --out r --config none.yaml", "none.yaml: No such file or directory; expected a YAML file"),
        ("pretrain --config a.yaml --config b.yaml", "--config is given twice; give one YAML file"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(line, message, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*line.split())
    assert list(tmp_path.iterdir()) == []  # nothing was begun


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1,", "x.yaml: not a readable YAML file"),
        ("- a\n- b", "--config x.yaml: expected options as 'name: value' lines, got list"),
        ("epoch: 3", "--config x.yaml: unknown option 'epoch'; did you mean epochs?"),
        ("steps: many", "--config x.yaml: --steps many: expected a whole number"),
        ("sources: digits:@train", "--config x.yaml: sources must be a list, got 'digits:@train'"),
        ("steps: 3", "missing: --out"),
        ("", "missing: --out"),
        ("{out: r, sources: ['digits:'], lr: -1}", "--lr -1: expected above 0"),
    ],
)
def test_a_wrong_config_file(content, message, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(content)
    assert message in refused("pretrain", "--config", "x.yaml")


def test_banks_of_another_backbone(banks, write_bank, refused):
    alien = write_bank("alien", [[0, 0]], backbone="resnet50")
    line = refused("rank", "--target", banks["target"], "--source", alien)
    assert "cannot be compared: backbone is 'b' in one and 'resnet50' in the other" in line
    assert "extract both with the same --backbone" in line


def test_a_subset_of_unknown_classes(banks, refused, tmp_path):
    out = tmp_path / "s.csv"
    argv = ["--target", banks["target"], "--source", banks["near"], "--classes", "1", "--out", str(out)]
    assert main(["select", *argv]) == 0
    out.write_text(out.read_text().replace("folder:near", "digits:@test").replace("near", "goose"))
    line = refused("pretrain", "--subset", out, "--out", tmp_path / "run", "--backbone", "resnet8")
    assert "s.csv: digits:@test has no class 'goose0'" in line


def test_another_run_at_out(made_run, refused):
    line = refused("pretrain", TRAIN, "--out", made_run, "--backbone", "resnet8", "--steps", 3, "--batch-size", 16)
    assert "holds another run" in line
    assert "name another directory" in line


# What is printed


def test_extract_and_its_reuse(place, said):
    argv = ["extract", TRAIN, "--out", place / "one.h5", "--backbone", "resnet8", *NETWORK]
    found = said(*argv)
    assert {"bank", "classes", "images", "skipped", "images_per_second"} <= found.keys()
    assert (found["bank"], found["classes"], found["images"], found["skipped"]) == (str(place / "one.h5"), 10, 50, 0)
    assert found["images_per_second"] > 0
    assert said(*argv)["reused"]


def test_rank_and_select(made_bank, said, place):
    target, near, far = (
        made_bank(name, spec)
        for name, spec in (("target", TEST), ("near", TRAIN), ("far", "digits:?per_class=3&seed=5"))
    )
    found = said("rank", "--target", target, "--source", near, far, "--bootstrap", 3)
    assert found["target"] == TEST
    assert len(found["domains"]) == 2
    for domain in found["domains"]:
        assert {"source", "emd", "similarity", "interval", "classes", "images"} <= domain.keys()
        assert len(domain["interval"]) == 2
    assert found["domains"][0]["emd"] <= found["domains"][1]["emd"]

    out = place / "subset.csv"
    found = said("select", "--target", target, "--source", near, far, "--classes", 4, "--out", out)
    assert [row["rank"] for row in found["selected"]] == [1, 2, 3, 4]
    assert all({"source", "class", "rank", "distance"} <= row.keys() for row in found["selected"])
    assert out.read_text().startswith("# {")


def test_finetune_and_evaluate(made_run, said, place):
    out = place / "fine"
    argv = ["fit-classifier", TRAIN, "--init", made_run, "--out", out, "--test", TEST, "--method", "linear"]
    tuned = said(*argv, "--device", "cpu", "--precision", "fp32")
    assert not tuned["reused"]
    found = said("evaluate", out, TEST, "--device", "cpu", "--precision", "fp32")
    assert {"top1", "top5", "macro", "many", "medium", "few", "images"} <= found.keys()
    assert found["images"] == 40
    assert 0 <= found["top1"] <= found["top5"] <= 1  # fractions, not percent
    assert found["many"] is None
    assert all(tuned[name] == found[name] for name in found)


def test_inspect_and_report(made_run, said, place):
    assert said("inspect", made_run)["run"] == "pretrain"
    assert said("inspect", TRAIN)["images"] == 50
    page = place / "page.html"
    assert said("report", made_run, "--out", page) == {"report": str(page), "finished": True}
    assert page.read_text().startswith("<!")


def test_a_person_sees_a_table_and_what_to_type_next(banks, write_bank, capsys):
    odd = write_bank("odd", [[0, 1]], classes=["[bold]:dog:[/x]"])
    assert main(["select", "--target", banks["target"], "--source", odd, "--classes", "1", "--strategy", "all"]) == 2
    capsys.readouterr()
    everything = ["--strategy", "all", "--geometry", "euclidean", "--out", odd + ".csv"]
    assert main(["select", "--target", banks["target"], "--source", odd, *everything]) == 0
    out = capsys.readouterr().out
    assert "[bold]:dog:[/x]" in out  # as it is: neither a style nor a picture
    assert f"transfer pretrain --subset {odd}.csv" in out
    assert main(["rank", "--target", banks["target"], "--source", banks["near"], banks["far"], "--bootstrap", "0"]) == 0
    out = capsys.readouterr().out
    assert "transfer select --target" in out
    lines = out.splitlines()
    rows = [line.split()[0] for line in lines if line.startswith("folder:")]
    assert rows == ["folder:near", "folder:far"]
    assert "0.5 is as far as the target's classes are from each other" in out
    why, plain = odd + ".why.csv", ["--geometry", "euclidean", "--bootstrap", "2"]
    assert main(["rank", "--target", banks["target"], "--source", odd, *plain, "--explain", why]) == 0
    out = capsys.readouterr().out
    assert "what folder:odd does for folder:target" in out and "target1" in out and why in out
    assert "[bold]:dog:[/x]" in out


# Configuration files


def test_a_run_can_be_run_again_from_its_configuration(made_run, said, place):
    config = made_run / "config.yaml"
    again = said("pretrain", "--config", config)
    assert again["reused"]
    copy = said("pretrain", "--config", config, "--out", place / "copy")
    assert not copy["reused"]
    assert {name: value for name, value in copy.items() if name not in ("run", "reused")} == {
        name: value for name, value in again.items() if name not in ("run", "reused")
    }
    one, other = (yaml.safe_load((path / "config.yaml").read_text()) for path in (made_run, place / "copy"))
    assert one.pop("out") != other.pop("out")
    assert one == other


def test_what_is_typed_goes_before_the_file(place, made_bank, said, tmp_path):
    target, near = made_bank("target", TEST), made_bank("near", TRAIN)
    file = tmp_path / "rank.yaml"
    file.write_text(yaml.safe_dump({"target": str(target), "source": [str(near)], "bootstrap": 0, "gamma": 1e-3}))
    given = said("rank", f"--config={file}")
    assert given["domains"][0]["interval"] == [None, None]
    typed = said("rank", "--config", file, "--source", target, "--bootstrap", 2)
    assert [domain["source"] for domain in typed["domains"]] == [TEST]
    assert typed["domains"][0]["interval"] != [None, None]


def test_positionals_may_stand_in_the_file(made_run, said, refused, tmp_path):
    file = tmp_path / "evaluate.yaml"
    file.write_text(yaml.safe_dump({"run": str(made_run), "dataset": TEST, "device": "cpu", "precision": "fp32"}))
    assert said("evaluate", "--config", file)["images"] == 40
    file.write_text(yaml.safe_dump({"run": str(made_run), "device": "cpu", "precision": "fp32"}))
    assert said("evaluate", TRAIN, "--config", file)["images"] == 50
    assert "missing: dataset" in refused("evaluate", "--config", file)


# Other ends


def test_ctrl_c(monkeypatch, capsys):
    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("transfer.inspection.inspect", stopped)
    assert main(["inspect", "losses"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "transfer inspect: interrupted; the same command goes on from the last checkpoint, if there is one\n"


def test_what_is_not_the_persons_fault_is_not_hidden(monkeypatch):
    def broken(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("transfer.inspection.inspect", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["inspect", "losses"])


def test_a_reader_that_has_gone(monkeypatch):
    """As in ``transfer inspect losses | head -0``: status 1, and no complaint when the stream is closed."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["inspect", "losses", "--json"]) == 1


def test_the_installed_command():
    """Status and channels as the shell sees them."""
    command = Path(sys.executable).with_name("transfer")
    start = [str(command)] if command.exists() else [sys.executable, "-m", "transfer.cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, "extrac", "digits:"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "transfer extrac: error: there is no such command; did you mean extract?\n"


def test_every_command_is_there():
    """No name in the table is a slip."""
    for command in COMMANDS.values():
        assert callable(cli._load(command.function))
        assert isinstance(cli._load(command.config), type)


def test_a_full_disk_is_one_line(monkeypatch, capsys):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device", "runs/pre/history.csv")

    monkeypatch.setattr("transfer.inspection.inspect", full)
    assert main(["inspect", "losses"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "transfer inspect: error: runs/pre/history.csv: the disk is full; free some space and give the command again\n"
    )
