from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from features.infrastructure.disk import joint_files
from features.infrastructure.disk.joint_files import atomic_files, finish_joint_files

NAMES = [Path("bank.h5"), Path("lists/table.csv")]


def write(text, killed_before=None):
    """Write both files in a process of its own, which is killed before it gives the given file its name."""
    process = os.fork()
    if not process:
        place = joint_files.put_in_place

        def put(aside, path):
            if killed_before is not None and path.name == NAMES[killed_before].name:
                os.kill(os.getpid(), signal.SIGKILL)
            place(aside, path)

        joint_files.put_in_place = put
        Path("lists").mkdir(exist_ok=True)
        with atomic_files(NAMES) as asides:
            for aside in asides:
                aside.write_text(text)
        os._exit(0)
    return os.waitpid(process, 0)[1]


def contents():
    return [path.read_text() if path.exists() else None for path in NAMES]


def others():
    """What is there besides the files."""
    return sorted(path for path in Path().rglob("*") if path.is_file() and path not in NAMES)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_both_files_take_their_names():
    assert write("new") == 0
    assert contents() == ["new", "new"] and not others()
    finish_joint_files(NAMES)
    assert contents() == ["new", "new"]


@pytest.mark.parametrize("killed_before", [0, 1])
@pytest.mark.parametrize("there", [True, False])
def test_after_a_kill_both_are_the_new_ones(killed_before, there, capsys):
    if there:
        write("old")
    assert write("new", killed_before) == signal.SIGKILL
    assert contents() == ["new" if killed_before else "old" if there else None, "old" if there else None]
    finish_joint_files(NAMES)
    assert contents() == ["new", "new"]
    assert capsys.readouterr().err.count("complete; an earlier command was ended") == 2 - killed_before
    write("next")
    assert contents() == ["next", "next"] and not others()


def test_a_block_that_raises_changes_nothing():
    write("old")
    with pytest.raises(ZeroDivisionError), atomic_files(NAMES) as (first, _):
        first.write_text("new")
        1 / 0  # noqa: B018
    assert contents() == ["old", "old"] and not others()


@pytest.mark.parametrize("journal", ["", "[1", '["/etc/passwd"]', "{}", '["bank.h5", "other.csv"]'])
def test_a_journal_of_other_files_moves_nothing(journal):
    write("old")
    Path(".bank.h5.together").write_text(journal)
    Path(".bank.h5.part").write_text("part")
    finish_joint_files(NAMES)
    assert contents() == ["old", "old"]


def test_no_file_is_no_work():
    finish_joint_files([])
    with atomic_files([]) as asides:
        assert asides == []
