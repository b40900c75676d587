"""Files that a command is asked to write: what is there stays."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from features.infrastructure.disk.files import (
    atomic_file,
    atomic_folder,
    check_new,
    check_new_folder,
    write_json,
    write_text,
)
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import located


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
        ({"`out`": "pipe"}, True, "`out` pipe: is a device or a pipe; name a file"),
        ({"`out`": "/dev/null"}, True, "`out` /dev/null: is a device or a pipe; name a file"),
        ({"`out`": "round"}, True, "`out` round: is a link that leads to itself; name another file"),
    ],
)
def test_what_would_be_lost_or_cannot_be_written(files, overwrite, message, tmp_path):
    os.symlink("read.h5", tmp_path / "link.h5")
    os.symlink("round", tmp_path / "round")
    os.mkfifo(tmp_path / "pipe")
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


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("old", "new"):
        os.symlink(f"elsewhere/{name}.json", tmp_path / f"{name}.json")
    write_json(tmp_path / "elsewhere" / "old.json", 1)
    for name in ("old", "new"):
        write_json(tmp_path / f"{name}.json", 2)
        assert (tmp_path / f"{name}.json").is_symlink()
        assert (tmp_path / "elsewhere" / f"{name}.json").read_text() == "2\n"


def test_two_processes_that_write_one_file_do_not_mix(tmp_path):
    code = """
import sys
from pathlib import Path
from features.infrastructure.disk.files import atomic_file
for _ in range(60):
    with atomic_file(Path("table")) as aside, aside.open("w") as file:
        for _ in range(50):
            file.write(sys.argv[1] * 99)
            file.flush()
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, letter], cwd=tmp_path) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "table").exists():
            seen.add((tmp_path / "table").read_text())
    assert [writer.returncode for writer in writers] == [0, 0] and seen <= {"a" * 4950, "b" * 4950} and seen
    assert not list(tmp_path.glob(".table*"))


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


@pytest.fixture
def store(memory):
    return fsspec.filesystem("memory")


def test_a_file_at_an_address_is_stored_whole_or_not_at_all(memory, store):
    address = located(f"{memory}/new/a.json")
    write_json(address, {"ä": 1})
    assert json.loads(address.read_bytes()) == {"ä": 1}
    with pytest.raises(RuntimeError), atomic_file(address) as aside:
        aside.write_text("half")
        assert json.loads(address.read_bytes()) == {"ä": 1}
        raise RuntimeError
    assert json.loads(address.read_bytes()) == {"ä": 1}
    assert os.listdir() == []  # the working directory


def test_a_file_that_its_store_does_not_take_is_kept(memory, store, monkeypatch):
    monkeypatch.setattr("features.infrastructure.storage.stores.WAITS", ())

    def full(*_):
        raise PermissionError("no")

    monkeypatch.setattr(type(store), "put_file", full)
    with pytest.raises(InputError, match=r"access is denied .*The file itself is complete: (\S+);") as caught:
        write_json(located(f"{memory}/a.json"), [1])
    (kept,) = os.listdir()
    assert kept.endswith(".json") and kept in str(caught.value) and json.loads(Path(kept).read_text()) == [1]


def test_a_folder_at_an_address_has_the_new_files_alone(memory, store):
    address = located(f"{memory}/model")
    for names in (("a", "b"), ("b", "c")):
        check_new_folder(address, ["a", "b", "c"], overwrite=True)
        with atomic_folder(address) as aside:
            for name in names:
                (aside / name).write_text(" ".join(names))
        assert {Path(path).name: store.cat_file(path) for path in store.find(f"{memory}/model")} == {
            name: " ".join(names).encode() for name in names
        }
    with pytest.raises(InputError, match="is there already; name another folder"):
        check_new_folder(address, ["a", "b", "c"], overwrite=False)
    with pytest.raises(InputError, match="holds other files, such as c"):
        check_new_folder(address, ["a", "b"], overwrite=True)
    with pytest.raises(InputError, match="would replace what is read"):
        check_new_folder(address, ["a", "b", "c"], read=[f"{memory}/model/b"], overwrite=True)
    with pytest.raises(InputError, match="is a file; name a folder"):
        check_new_folder(address / "b", ["a"], overwrite=True)
    assert os.listdir() == []


def test_what_would_be_lost_at_an_address(memory, store, web):
    store.pipe_file(f"{memory}/there.csv", b"there")
    there = f"{memory}/there.csv"
    for files, overwrite, told in (
        ({"`out`": there}, False, f"`out` {there}: is there already; name another file or give `overwrite`"),
        ({"`out`": f"{memory}/read.h5"}, True, f"`out` {memory}/read.h5: would replace what is read"),
        ({"`out`": f"{memory}/a", "`curve`": f"{memory}/a"}, True, f"`curve` {memory}/a: is the file of `out` too"),
        ({"`out`": memory}, True, f"`out` {memory}: is a directory; name a file in it"),
        ({"`out`": f"{web.address}/a.csv"}, True, f"`out` {web.address}/a.csv: a web server takes no files"),
    ):
        with pytest.raises(InputError) as refusal:
            check_new(files, read=[f"{memory}/read.h5"], overwrite=overwrite)
        assert str(refusal.value).startswith(told)
    check_new({"`out`": there, "`curve`": f"{memory}/new/b.csv"}, overwrite=True)
    assert store.cat_file(there) == b"there"


def test_no_file_has_the_secret_of_an_address(tmp_path):
    write_json(tmp_path / "config.json", {"dataset": "list:<https://me:SECRET@h/a.txt?SECRET>@val?seed=1"})
    content = json.loads((tmp_path / "config.json").read_text())
    assert content == {"dataset": "list:<https://h/a.txt>@val?seed=1"}


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor, original=os.fsync):
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        if synced[-1]:
            raise OSError(errno.EINVAL, "Invalid argument")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text"
    assert synced == [False, True]  # the content before the name


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_names_the_file(tmp_path, number):
    with pytest.raises(OSError) as caught, atomic_file(tmp_path / "new" / "a.txt"):
        raise OSError(number, "no room")
    assert caught.value.errno == number and caught.value.filename == str(tmp_path / "new" / "a.txt")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("write", [lambda path: write_text(path, "new"), lambda path: write_json(path, {})])
def test_a_link_in_the_place_of_a_working_file_is_not_followed(tmp_path, write):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / ".page.html.part").symlink_to(precious)
    write(tmp_path / "page.html")
    assert precious.read_text() == "precious"
    assert not (tmp_path / "page.html").is_symlink()


def test_a_link_in_the_place_of_a_working_folder_is_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("precious")
    (tmp_path / ".model.part").symlink_to(tmp_path / "precious")
    with atomic_folder(tmp_path / "model") as aside:
        (aside / "config.json").write_text("{}")
    assert [file.name for file in (tmp_path / "precious").iterdir()] == ["file"]
    assert (tmp_path / "model" / "config.json").is_file()
