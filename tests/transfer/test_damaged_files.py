"""Files that are damaged, hostile or no files: every command ends with one line, and no code of theirs runs."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from mutations import (
    NO_FILES,
    changed_bytes,
    changed_csv,
    changed_json,
    changed_yaml,
    hostile_checkpoint,
    hostile_pickle,
)
from safetensors.torch import load_file, save_file

from features.infrastructure.console import warn_once
from transfer.cli import main

TINY = ["--device", "cpu", "--precision", "fp32", "--workers", "0"]
DATA = "digits:@train?per_class=2"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a finished run of two epochs, a bank, and a subset file."""
    place = tmp_path_factory.mktemp("damaged")
    network = ["--weights", "none", *TINY]
    training = ["--epochs", "2", "--batch-size", "10", "--image-size", "16", "--validation", "1"]
    assert main(["finetune", DATA, "--init", "resnet8", *training, *network, "--out", f"{place}/run"]) == 0
    shutil.copytree(place / "run", place / "other")
    for name, spec in (("target", DATA), ("source", "glyphs:DIGIT")):
        assert main(["extract", spec, "--backbone", "resnet8", *network, "--out", f"{place}/{name}.h5"]) == 0
    banks = ["--target", f"{place}/target.h5", "--source", f"{place}/source.h5"]
    assert main(["select", *banks, "--classes", "4", "--out", f"{place}/subset.csv"]) == 0
    return place


@pytest.fixture
def world(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, in which the test is."""
    shutil.copytree(made, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return tmp_path / "world"


@pytest.fixture
def ended(capsys) -> Callable[..., tuple[int, str, str]]:
    """A function that runs a command which must end with its result, or with status 2 and one line that says why."""

    def run(*argv: object) -> tuple[int, str, str]:
        warn_once.cache_clear()
        capsys.readouterr()
        status = main([*map(str, argv)])
        out, err = capsys.readouterr()
        assert status in (0, 2) and "Traceback" not in err
        if status == 2:
            assert out == "" and err.splitlines()[-1].startswith(f"transfer {argv[0]}: error: ")
            assert err.count("error:") == 1
        return status, out, err

    return run


#: Each file of a run with what changes it, and the commands that read it; {} is the run.
READ = {
    "metrics.json": (changed_json, ["inspect {} --json", "compare other {} --json"]),
    "environment.json": (changed_json, ["inspect {} --json"]),
    "config.yaml": (changed_yaml, ["inspect {} --json", "compare other {} --json"]),
    "per_class.csv": (changed_csv, ["compare other {} --json"]),
    "checkpoints/best.json": (changed_json, ["inspect {}/checkpoints/best.safetensors --json"]),
}


@pytest.mark.parametrize("file", READ)
def test_a_changed_file_of_a_run_gives_the_same_result_or_is_told(world, ended, file):
    mutations, commands = READ[file]
    content = (world / "run" / file).read_bytes()
    for line in commands:
        argv = line.format("run").split()
        _, expected, _ = ended(*argv)
        for what, changed in mutations(content, 25):
            (world / "run" / file).write_bytes(changed)
            status, found, told = ended(*argv)
            unsealed = what in ("without ('sha256',)", "without line 1")  # as by an earlier version, or edited
            assert status == 2 or "changed since" in told or unsealed or found == expected, (line, what)
        (world / "run" / file).write_bytes(content)


PAGES = {"history.csv": changed_csv, "predictions.csv": changed_csv, "metrics.json": changed_json}


@pytest.mark.parametrize("file", PAGES)
def test_a_page_of_a_changed_run_is_told_or_refused(world, ended, file):
    content, page = (world / "run" / file).read_bytes(), world / "run" / "report.html"
    assert ended("report", "run")[0] == 0
    expected = page.read_text()
    for what, changed in random.Random(0).sample([*PAGES[file](content, 20)], 10):  # a page takes a second
        (world / "run" / file).write_bytes(changed)
        status, _, told = ended("report", "run")
        unsealed = what in ("without ('sha256',)", "without line 1")
        assert status == 2 or "changed since" in told or unsealed or page.read_text() == expected, what


def test_a_changed_subset_is_used_and_told_and_a_damaged_one_refused(world, ended):
    content = (world / "subset.csv").read_bytes()
    _, expected, told = ended("inspect", "subset.csv", "--json")
    assert "changed" not in told
    for what, changed in changed_csv(content, 60):
        (world / "subset.csv").write_bytes(changed)
        status, found, told = ended("inspect", "subset.csv", "--json")
        is_none = what in NO_FILES or json.loads(found or "{}").get("rows") == 0  # a table of nothing says so
        said = "changed since" in told or "its first line" in told or what == "without line 1" or is_none
        assert status == 2 or said or found == expected, what
    edited = content.replace(b",1,", b",2,", 1)
    assert edited != content
    (world / "subset.csv").write_bytes(edited)
    pretrain = ["pretrain", "--subset", "subset.csv", "--backbone", "resnet8", "--weights", "none", "--steps", "1"]
    status, _, told = ended(*pretrain, "--batch-size", "4", *TINY, "--quiet", "--out", "pre")
    assert status == 0 and "subset.csv: changed since `transfer select` wrote it; what it says now is used" in told


EVALUATE = ["evaluate", "run", "digits:@test?per_class=1", *TINY, "--json"]


def test_no_changed_byte_of_a_checkpoint_is_used(world, ended):
    path = world / "run" / "checkpoints" / "best.safetensors"
    content = path.read_bytes()
    assert ended(*EVALUATE)[0] == 0
    for _, changed in changed_bytes(content, 25):
        path.write_bytes(changed)
        status, _, told = ended(*EVALUATE)
        assert status == 2 and "best.safetensors: its tensors are not those that its card" in told


def earlier(card: Path) -> None:
    """Make the card one of an earlier version, which has a digest of the backbone alone."""
    content = json.loads(card.read_text())
    card.write_text(json.dumps({k: v for k, v in content.items() if k not in ("sha256", "tensors_sha256")}))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("head.weight", float("nan"), "weight holds a value that is NaN or infinite"),
        ("head.bias", float("nan"), "bias holds a value that is NaN or infinite"),
        ("head.bias", float("inf"), "bias holds a value that is NaN or infinite"),
        ("", 0.5, "its tensors are not those that its card"),
        ("head.weight", "shape", "its head does not fit the 10 classes of its card"),
        ("head.weight", "whole numbers", "weight holds values of torch.int64"),
        ("head.bias", None, "its head does not fit the 10 classes of its card"),
    ],
)
def test_tensors_of_an_earlier_version_that_cannot_be_used(world, ended, name, value, said):
    path = world / "run" / "checkpoints" / "best.safetensors"
    earlier(path.with_suffix(".json"))
    assert ended(*EVALUATE)[0] == 0
    tensors = load_file(path)
    if value == "shape":
        tensors[name] = tensors[name][:-1].clone()
    elif value == "whole numbers":
        tensors[name] = torch.zeros_like(tensors[name], dtype=torch.int64)
    elif value is None:
        del tensors[name]
    else:
        tensors[name or next(one for one in tensors if one.startswith("backbone."))].view(-1)[0] = value
    save_file(tensors, path)
    for argv in (
        EVALUATE,
        ["fit-classifier", DATA, "--init", "run", "--method", "tau", "--tau", "1", *TINY, "--out", "f"],
    ):
        status, _, told = ended(*argv)
        if argv is EVALUATE:
            assert status == 2 and any(part in told for part in said.split("|"))
        assert status == 2 and "best.safetensors: " in told


def hostile_files(folder: Path, marker: Path) -> Iterator[Path]:
    array = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(128)
    for name, content in (
        ("plain.pth", hostile_pickle(marker)),
        ("archive.pth", hostile_checkpoint(marker)),
        ("named.safetensors", hostile_pickle(marker)),
        ("named.csv", hostile_pickle(marker)),
        ("named.h5", hostile_pickle(marker)),
        ("named.npy", array + hostile_pickle(marker)),
        ("named.yaml", f"!!python/object/apply:os.system ['touch {marker}']\n".encode()),
        ("named.json", hostile_pickle(marker)),
    ):
        (folder / name).write_bytes(content)
        yield folder / name


#: Every command with each of its arguments that name a file; {} is the file.
TAKES_A_FILE = [
    "try {}",
    "try digits: --source {}",
    "extract features:{} --out o.h5",
    "extract csv:{} --backbone resnet8 --weights none --out o.h5",
    "extract list:{} --backbone resnet8 --weights none --out o.h5",
    "extract inat:{} --backbone resnet8 --weights none --out o.h5",
    "extract clusters:{} --backbone resnet8 --weights none --out o.h5",
    "extract digits:@test?exclude={} --backbone resnet8 --weights none --out o.h5",
    "extract digits:@test?per_class=1 --backbone resnet8 --weights {} --out o.h5",
    "extract digits:@test?per_class=1 --backbone {} --out o.h5",
    "merge {} --out o.h5",
    "rank --target {} --source source.h5",
    "rank --target target.h5 --source {}",
    "rank-models --target {} --model resnet8:none",
    "rank-models --target digits:@test?per_class=2 --model {}",
    "select --target target.h5 --source {} --out s.csv",
    "select --target target.h5 --source source.h5 --influence {} --out s.csv",
    "cluster {} --out o.h5",
    "duplicates {} --against target.h5 --out d.csv",
    "pretrain --subset {} --backbone resnet8 --weights none --out o",
    "pretrain digits: --class-weights {} --backbone resnet8 --weights none --out o",
    "pretrain digits: --config {} --out o",
    "finetune digits:@test?per_class=2 --init {} --out o",
    "finetune digits:@test?per_class=2 --init resnet8 --weights {} --steps 1 --out o",
    "finetune digits:@test?per_class=2 --init resnet8 --weights none --steps 1 --with {} --out o",
    "fit-classifier digits:@test?per_class=2 --init {} --method linear --out o",
    "evaluate {} digits:",
    "predict {} digits: --out p.csv",
    "predict run {} --out p.csv",
    "compare {} run",
    "export {} --out m.onnx",
    "run {}",
    "report {}",
    "inspect {}",
]


@pytest.mark.parametrize("line", TAKES_A_FILE)
def test_no_code_of_a_file_is_run(world, ended, line):
    """Of a file of weights, what is no tensor is passed over; every other command refuses the file."""
    marker = world / "marker"
    for file in hostile_files(world, marker):
        status, _, told = ended(*(word.format(file) for word in line.split()))
        assert not marker.exists(), file.name
        assert status == 2 and "\n" not in told.strip().rpartition("error: ")[2], (file.name, told)


@pytest.mark.parametrize("line", TAKES_A_FILE)
def test_no_command_waits_for_a_pipe(world, ended, line):
    for name in ("pipe", "pipe.csv", "pipe.h5", "pipe.yaml", "pipe.pth", "pipe.safetensors"):
        os.mkfifo(world / name)
        status, _, _ = ended(*(word.format(name) for word in line.split()))
        assert status == 2
        assert (world / name).is_fifo()


def test_no_code_of_a_state_to_resume_from_is_run(world, ended):
    run = world / "run"
    (run / "metrics.json").unlink()
    resume = run / "checkpoints" / "resume.ckpt"
    again = ["finetune", "--config", "run/config.yaml", "--out", "run", "--workers", "0"]
    for content in (hostile_pickle(world / "marker"), hostile_checkpoint(world / "marker"), b"", b"PK\3\4", b"\0" * 99):
        resume.write_bytes(content)
        status, _, told = ended(*again)
        assert status == 2 and "resume.ckpt: the state of the unfinished training cannot be used" in told
        assert not (world / "marker").exists()
    resume.unlink()
    assert ended(*again)[0] == 0


RECIPE = {"name": "tiny", "target": DATA, "test": DATA, "arms": {"scratch": {}}, "seeds": [0]}


@pytest.mark.parametrize(
    "changed",
    [
        *(
            {"name": name}
            for name in ("../out", "/tmp/out", "a/b", "a\\b", "..", ".", "", " ", "x" * 300, 5, None, ["a"])
        ),
        *({"arms": {name: {}}} for name in ("", 3, "a\x1b[31m")),
        *({"archives": [name]} for name in ("../x.tar", "/x.tar", "", "a/..")),
        {"seeds": [2**40]},
        {"seeds": ["x"]},
        {"classes": 10**30},
        {"extract": {"workers": 10**8}},
        {"extract": {"batch_size": 10**9}},
        {"pretrain": {"steps": 10**10}},
        {"finetune": {"epochs": 10**9}},
    ],
)
def test_a_recipe_is_refused_before_anything_is_written(tmp_path, monkeypatch, refused, changed):
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    Path("recipe.yaml").write_text(yaml.safe_dump(RECIPE | changed))
    line = refused("run", "recipe.yaml")
    key = next(iter(changed))
    assert "recipe.yaml" in line and (key in line or "arm" in line)
    assert [path.name for path in tmp_path.rglob("*")] == ["place", "recipe.yaml"]


def test_a_name_with_nul_is_refused(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(yaml.safe_dump(RECIPE).replace("tiny", '"a\\0b"'))
    assert "NUL" in refused("run", "recipe.yaml")


@pytest.mark.parametrize(
    "option",
    ["--workers 100000000", "--batch-size 1000000000", "--steps 1000000000000", "--image-size 1000000", "--seed -1"],
)
def test_absurd_numbers_are_refused_at_once(tmp_path, monkeypatch, refused, option):
    monkeypatch.chdir(tmp_path)
    line = refused("pretrain", "digits:", "--backbone", "resnet8", "--out", "run", *option.split())
    assert option in line and "expected at least" in line and not list(tmp_path.iterdir())


def test_the_files_of_a_run_do_not_tell_its_workers(tmp_path, monkeypatch, ended):
    monkeypatch.chdir(tmp_path)
    training = ["finetune", DATA, "--init", "resnet8", "--weights", "none", "--steps", "2", "--batch-size", "10"]
    for number in ("0", "2"):
        folder = tmp_path / number
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert ended(*training, "--device", "cpu", "--workers", number, "--out", "run")[0] == 0
    names = [
        "config.yaml",
        "metrics.json",
        "per_class.csv",
        "predictions.csv",
        *(f"checkpoints/last.{e}" for e in ("json", "safetensors")),
    ]
    for name in names:
        assert (tmp_path / "0" / "run" / name).read_bytes() == (tmp_path / "2" / "run" / name).read_bytes(), name
    told = [
        json.loads((tmp_path / number / "run" / "environment.json").read_text())["workers"] for number in ("0", "2")
    ]
    assert told == [0, 2]
