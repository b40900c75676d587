"""The command line: exit status, one line for wrong input, JSON alone on standard output, help."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from features.infrastructure.errors import InputError
from transfer.cli import main

TRAIN, TEST = "digits:@train?per_class=5", "digits:@test?per_class=4"


def test_quiet_prints_the_result_alone(tmp_path, capsys):
    argv = ["extract", TRAIN, "--backbone", "resnet8", "--weights", "none", "--out", str(tmp_path / "bank.h5")]
    assert main([*argv, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "50 images" in out and err == "" and "next:" not in out
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert "already extracted" in err and "next:" in out  # the next command is not quiet
    assert main(["extract", "nowhere", "--out", "x.h5", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("transfer extract: error: ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["transfer", "fine"], {"finetune"}),
        (["transfer", "finetune", "--inter"], {"--interpolate"}),
        (["transfer", "finetune", "--optimizer", "ad"], {"adamw"}),
        (["transfer", "evaluate", "--views", "1"], {"1", "10"}),
    ],
)
def test_bash_completes_commands_options_and_choices(tmp_path, capsys, words, completed):
    assert main(["--print-completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    ask = f"""
        source {tmp_path / "script"}
        COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}
        $(complete -p transfer | sed 's/.*-F \\([^ ]*\\) .*/\\1/') transfer {words[-1]} {words[-2]}
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completed


def test_an_unknown_shell_is_refused(capsys):
    assert main(["--print-completion", "csh"]) == 2
    assert "--print-completion csh: the shell is not supported; did you mean tcsh?" in capsys.readouterr().err
    assert main(["--print-completion"]) == 2
    assert "--print-completion: name a shell: bash, zsh, " in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("transfer 0.")


# Wrong input


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("extrac digits:", "there is no such command; did you mean extract?"),
        ("xyz", "there is no such command; expected one of demo, try, run, inspect, extract,"),
        ("extract", "missing: DATASET, --out"),
        ("extract folder:nowhere --out a.h5", "no such directory: nowhere"),
        ("extract foldr:nowhere --out a.h5", "unknown scheme 'foldr'; did you mean folder?"),
        ("extract nowhere --out a.h5", "has no scheme: expected scheme:location[@split], such as folder:nowhere"),
        ("extract digits: more --out a.h5", "too many values: more"),
        ("extract digits: --out a.h5 --bach-size 3", "unknown option --bach-size; did you mean --batch-size?"),
        ("extract digits: --out a.h5 --batch 3", "unknown option --batch"),
        ("extract digits: --out a.h5 --batch-size many", "--batch-size many: expected a whole number"),
        ("extract digits: --out a.h5 --image-size 1.5", "--image-size 1.5: expected a whole number"),
        ("extract digits: --out a.h5 --precision fp8", "--precision fp8: expected one of auto, fp32, bf16"),
        ("extract digits: --out", "--out: expected one argument"),
        ("extract digits: --out a.txt", "--out a.txt: expected a file name that ends in .h5 or .hdf5"),
        ("merge a.h5 --out bank", "--out bank: expected a file name that ends in .h5 or .hdf5"),
        ("report r --out bank.h5 --overwrite", "--out bank.h5: expected a file name that ends in .html"),
        ("cluster", "missing: BANK, --out"),
        ("cluster a.h5 --out b.h5", "a.h5: no such feature bank; make one with: transfer extract"),
        ("cluster a.h5 --out b.h5 --clusters 1", "--clusters 1: expected at least 2"),
        ("duplicates a.h5 --against b.h5", "missing: --out"),
        ("duplicates a.h5 --out b.csv", "a.h5: no such feature bank; make one with: transfer extract"),
        ("duplicates a.h5 --against b.h5 --out c.csv --threshold 2", "--threshold 2.0: expected above 0 and at most 1"),
        ("rank --target a.h5", "missing: --source"),
        ("rank --target a.h5 --source b.h5", "a.h5: no such feature bank; make one with: transfer extract"),
        ("select --target a.h5 --source b.h5 --classes 0", "--classes 0: expected at least 1"),
        ("select --target a.h5 --source b.h5 --classes few", "--classes few: expected a whole number"),
        ("pretrain --out r", "pre-training needs a source"),
        ("pretrain digits: --out r --subset none.csv", "none.csv: no such subset file"),
        ("pretrain digits: --out r --epochs 1 --steps 1", "give one"),
        ("pretrain digits: --out r --beta high", "--beta high: expected a number or auto"),
        ("pretrain digits: --out r --seed -1", "--seed -1: expected at least 0"),
        ("pretrain digits: --out r --backbone resnet8 --weights none.pth", "--weights none.pth: no such file"),
        ("finetune digits: --init nowhere/run --out r", "nowhere/run: no checkpoint there"),
        ("evaluate nowhere digits:", "nowhere: no trained model there; expected a finished run directory"),
        ("evaluate digits: runs/pre", "RUN digits:: is a dataset; give the run first, then the dataset"),
        ("evaluate nowhere", "missing: DATASET"),
        ("evaluate nowhere runs/pre", "nowhere: no trained model there"),
        ("predict nowhere digits:", "missing: --out"),
        ("predict nowhere digits: --out a.txt", "--out a.txt: expected a file name that ends in .csv or .parquet"),
        ("predict nowhere digits: --out a.csv", "nowhere: no trained model there; expected a finished run directory"),
        ("predict nowhere digits: --out a.csv --features a.csv", "--features a.csv: expected a file name that ends in"),
        ("predict digits: runs/pre --out a.csv", "RUN digits:: is a dataset; give the run first, then the dataset"),
        ("predict nowhere photos --out a.csv", "nowhere: no trained model there"),
        ("predict nowhere foldr:x --out a.csv", "nowhere: no trained model there"),
        ("run nowhere.yaml", "nowhere.yaml: no such recipe; expected a YAML file"),
        ("report nowhere", "nowhere: nothing to report"),
        ("inspect nowhere", "nowhere: not a dataset spec"),
        ("demo --steps 3", "--steps is an option of: transfer pretrain, finetune; leave it out"),
        ("pretrain digits: --out r --config", "--config: expected one argument"),
        ("pretrain digits: --out r --config=", "--config: expected a YAML file"),
        ("pretrain digits: --out r --config none.yaml", "none.yaml: no such YAML file; expected a YAML file"),
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
        ("method: tau", "--config x.yaml: unknown option 'method' (transfer pretrain --help)"),
        ("{method: tau, dataset: a, lr: 1}", "x.yaml: unknown options 'method', 'dataset' (transfer pretrain"),
        ("steps: many", "--config x.yaml: --steps many: expected a whole number"),
        (
            "sources: digits:@train",
            '--config x.yaml: SOURCES digits:@train: expected a list of texts, such as ["digits:@train"]',
        ),
        ("steps: 3", "missing: --out"),
        ("", "missing: --out"),
        ("{out: r, sources: ['digits:'], lr: -1}", "--lr -1: expected above 0"),
    ],
)
def test_a_wrong_config_file(content, message, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(content)
    assert message in refused("pretrain", "--config", "x.yaml")


# What is printed


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
    assert "missing: DATASET" in refused("evaluate", "--config", file)


# Other ends


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a bug"),
        FileNotFoundError(),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied", 3),
    ],
)
def test_a_bug_is_not_hidden(monkeypatch, error):
    def broken(_):
        raise error

    monkeypatch.setattr("transfer.commands.inspect.inspect", broken)
    with pytest.raises(type(error)) as raised:
        main(["inspect", "losses"])
    assert raised.value is error


@pytest.mark.parametrize(
    ("word", "file"),
    [
        ("photos", "photos"),
        ("photos", "photos/a/1.jpg"),
        ("folder:photos@train", "photos/train/a/1.jpg"),
        ("list:a.txt?root=photos", "photos/1.jpg"),
        ("bank.h5:3", "bank.h5"),
    ],
)
def test_a_file_that_the_user_named_is_told_in_one_line(monkeypatch, refused, tmp_path, word, file):
    def missing(_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / file))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transfer.commands.inspect.inspect", missing)
    line = refused("inspect", word)
    assert line.endswith(f"{tmp_path / file}: No such file or directory; name another path")


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


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_closed_stream_is_no_error(closed):
    line = f"{shlex.quote(sys.executable)} -m transfer inspect losses {closed}"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/pre/history.csv"),
            "runs/pre/history.csv: the disk is full; free some space and give the command again",
        ),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; check the disk and give the command again"),
        (OSError(errno.ENOSPC, "No space left"), "the disk is full; free some space and give the command again"),
        (
            PermissionError(errno.EACCES, "Permission denied", "data/a.png"),
            "data/a.png: Permission denied; check the path, its permissions and the disk, and give the command again",
        ),
        (InputError("x\nfake: error: \x1b[31my"), r"x fake: error: \x1b[31my"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, said, monkeypatch, capsys):
    def fail(_):
        raise error

    monkeypatch.setattr("transfer.commands.inspect.inspect", fail)
    assert main(["inspect", "losses"]) == 2
    assert capsys.readouterr().err == f"transfer inspect: error: {said}\n"
