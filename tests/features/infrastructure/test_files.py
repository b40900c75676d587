"""Files that a command is asked to write: what is there stays."""

import json
import os
from pathlib import Path

import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.files import atomic_file, atomic_folder, check_new, check_new_folder, write_json


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "read.h5").write_text("read")
    (tmp_path / "there.csv").write_text("there")


@pytest.mark.parametrize(
    ("files", "overwrite", "message"),
    [
        ({"`out`": "there.csv"}, False, "`out` there.csv: is there already; name another file or give `overwrite`"),
        ({"`out`": "read.h5"}, True, "`out` read.h5: would replace what is read; name another file"),
        ({"`out`": "./read.h5"}, True, "`out` read.h5: would replace what is read; name another file"),
        ({"`out`": "sub/../read.h5"}, True, "`out` sub/../read.h5: would replace what is read; name another file"),
        ({"`out`": "link.h5"}, True, "`out` link.h5: would replace what is read; name another file"),
        ({"`out`": "a", "`curve`": "a"}, True, "`curve` a: is the file of `out` too; name another one"),
        ({"`out`": "."}, True, "`out` .: is a directory; name a file in it"),
        ({"`out`": "there.csv/a"}, True, "`out` there.csv/a: its directory cannot be made"),
    ],
)
def test_what_would_be_lost_or_cannot_be_written(files, overwrite, message, tmp_path):
    os.symlink("read.h5", tmp_path / "link.h5")
    with pytest.raises(InputError) as refusal:
        check_new(files, read=["read.h5"], overwrite=overwrite)
    assert message in str(refusal.value)
    assert (tmp_path / "read.h5").read_text() == "read" and (tmp_path / "there.csv").read_text() == "there"


def test_new_files_and_those_that_may_be_replaced():
    check_new({"`out`": "new/a.csv", "`curve`": "new/b.csv", "`explain`": None}, read=["read.h5"])
    check_new({"`out`": "there.csv"}, read=["read.h5"], overwrite=True)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"ä": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ä": 1}
    with pytest.raises(RuntimeError), atomic_file(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text(encoding="utf-8")) == {"ä": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "model"
    with atomic_folder(path) as aside:
        (aside / "a").write_text("first")
        (aside / "b").write_text("first")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_folder(path) as aside:
        (aside / "a").write_text("half")
        raise RuntimeError
    assert {file.name: file.read_text() for file in path.iterdir()} == {"a": "first", "b": "first"}
    with atomic_folder(path) as aside:
        (aside / "a").write_text("second")
    assert {file.name: file.read_text() for file in path.iterdir()} == {"a": "second"}
    assert [entry.name for entry in path.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("path", "overwrite", "message"),
    [
        ("there.csv", True, "`out` there.csv: is a file; name a folder"),
        ("full", False, "`out` full: is there already; name another folder or give `overwrite`"),
        ("mixed", True, "`out` mixed: holds other files, such as thesis.tex; name another folder"),
        (".", True, "`out` .: is the working directory; name a folder in it"),
        ("read", True, "`out` read: would replace what is read; name another folder"),
        ("there.csv/a", True, "`out` there.csv/a: its directory cannot be made"),
    ],
)
def test_a_folder_that_would_lose_something(path, overwrite, message):
    for name in ("full/a", "mixed/a", "mixed/thesis.tex", "read/a"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("there")
    with pytest.raises(InputError) as refusal:
        check_new_folder(Path(path), ["a"], read=["read/a"], overwrite=overwrite)
    assert str(refusal.value).startswith(message)


def test_a_new_folder_an_empty_one_and_one_that_may_be_replaced():
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/a").write_text("there")
    check_new_folder(Path("empty"), ["a"], overwrite=False)
    check_new_folder(Path("new/folder"), ["a"], overwrite=False)
    check_new_folder(Path("full"), ["a"], overwrite=True)
