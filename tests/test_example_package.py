"""A package that adds a scheme, a strategy and a loss: installed by pip, and used from the command line."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.run_directory import open_run

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed the package, without a network."""
    source = tmp_path_factory.mktemp("source") / "example_package"
    shutil.copytree(ROOT / "tests" / "example_package", source)  # setuptools builds inside the folder
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", target]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, source], check=True, timeout=300)
    return target


@pytest.fixture
def transfer(installed: Path, tmp_path: Path) -> Run:
    """A function that runs a command in a folder of its own, where the package is installed."""

    def run(*words: object, path: Path = installed) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "transfer", *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run


def test_help_names_the_rows_and_their_package(transfer: Run) -> None:
    done = transfer("inspect", "strategies", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["largest"] == "classes of the most images, a control (of the package transfer-example 0.1)"
    assert "(of the package" not in listed["nearest"]


def test_scheme_strategy_and_loss_work_on_the_command_line(transfer: Run, tmp_path: Path) -> None:
    network = ["--weights", "none", "--device", "cpu", "--precision", "fp32"]
    made = transfer("extract", "squares:8?imbalance=4", "--backbone", "resnet8", *network, "--out", "squares.h5")
    assert made.returncode == 0, made.stderr
    chosen = transfer(
        *["select", "--target", "squares.h5", "--source", "squares.h5", "--strategy", "largest", "--classes", 2],
        *["--out", "subset.csv", "--json"],
    )
    assert chosen.returncode == 0, chosen.stderr
    found = [(row["class"], row["distance"]) for row in json.loads(chosen.stdout)["selected"]]
    assert found == [("blue", -8.0), ("green", -4.0)]  # the tail of 8, 4 and 2 images in the order of the labels

    options = ["--backbone", "resnet8", "--loss", "poly1", "--steps", 1, "--batch-size", 8, *network]
    trained = transfer("pretrain", "--subset", "subset.csv", *options, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    run = open_run(tmp_path / "run")
    assert run["config"]["loss"] == "poly1" and run["metrics"]["images"] == 12
    assert run["environment"]["versions"]["transfer-example"] == "0.1"
    (epoch,) = run["history"]
    assert epoch["train_loss"] == pytest.approx(math.log(2) + 0.5, abs=0.02)  # two classes of about equal scores


def test_a_slip_is_told_with_the_rows_of_the_package(transfer: Run) -> None:
    done = transfer("select", "--target", "a.h5", "--source", "b.h5", "--strategy", "largst")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--strategy largst: there is no such strategy; did you mean largest?" in done.stderr


@pytest.fixture
def broken(installed: Path, tmp_path: Path) -> Path:
    """The installed package after a part of it was lost."""
    copy = tmp_path / "broken"
    shutil.copytree(installed, copy)
    (copy / "transfer_example" / "largest.py").write_text("import a_library_that_is_missing\n")
    return copy


def test_a_broken_package_disturbs_no_other_command(transfer: Run, broken: Path) -> None:
    fault = (
        "the package transfer-example 0.1 adds the strategy largest, which cannot be used: "
        "transfer_example.largest:LARGEST cannot be imported (ModuleNotFoundError: No module named "
        "'a_library_that_is_missing'); repair or uninstall the package\n"
    )
    asked = transfer("select", "--target", "a.h5", "--source", "b.h5", "--strategy", "largest", path=broken)
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)
    assert asked.stderr == f"transfer select: error: --strategy largest: {fault}"
    listed = transfer("inspect", "strategies", "--json", path=broken)
    assert listed.returncode == 0 and listed.stderr == fault
    assert "nearest" in json.loads(listed.stdout) and "largest" not in json.loads(listed.stdout)
    other = transfer("inspect", "squares:3", path=broken)
    assert (other.returncode, other.stderr) == (0, "")
