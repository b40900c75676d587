"""Files that hang or end the HDF5 library do so in another process, which is ended."""

import os
import signal
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import vetting
from features.infrastructure.hdf5.opening import readable
from features.infrastructure.hdf5.vetting import fault_of


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Files here are small: a second is plenty. The process that serves other tests is left alone."""
    monkeypatch.setattr(vetting, "_CPU_SECONDS", 1)
    monkeypatch.setattr(vetting, "_process", None)
    yield
    vetting._end()


def texts(path, version="earliest"):
    with h5py.File(path, "w", libver=version) as file:
        file.create_dataset("text", data=[f"text {number}" for number in range(300)], dtype=h5py.string_dtype())
    return path


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_a_file_that_hangs_the_library_is_damaged(version, tmp_path):
    path = texts(tmp_path / "a.h5", version)
    assert fault_of(path) is None
    content = path.read_bytes()
    heap = content.index(b"GCOL")
    path.write_bytes(
        content[: heap + 512] + bytes(512) + content[heap + 1024 :]
    )  # objects of no size, one after another
    with (
        pytest.raises(InputError, match=r"a.h5: not a readable bank \(damaged: the HDF5 library ends or hangs in it\)"),
        readable(path, "bank"),
    ):
        pass
    assert fault_of(texts(tmp_path / "b.h5")) is None  # by a new process


def test_the_process_that_is_killed_is_replaced(tmp_path):
    path = texts(tmp_path / "a.h5")
    assert fault_of(path) is None
    os.kill(vetting._process.pid, signal.SIGKILL)
    vetting._process.wait()
    assert fault_of(path) is None


def test_a_forked_process_has_one_of_its_own(tmp_path):
    path = texts(tmp_path / "a.h5")
    assert fault_of(path) is None
    process = os.fork()
    if process == 0:
        same = vetting._process is None and fault_of(path) is None
        vetting._end()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert fault_of(path) is None


def test_nothing_is_imported_from_the_folder_of_the_data(tmp_path, monkeypatch):
    for name in ("json", "h5py", "numpy", "features"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert fault_of(texts(tmp_path / "a.h5")) is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("missing", ["", "/nowhere/python"])
def test_without_another_process_files_are_surveyed_all_the_same(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(sys, "executable", missing)
    assert fault_of(texts(tmp_path / "a.h5")) is None
    (tmp_path / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:3000])
    assert "truncated file" in fault_of(tmp_path / "b.h5")


def test_a_file_is_vetted_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    path, asked = texts(tmp_path / "a.h5"), []
    monkeypatch.setattr("features.infrastructure.hdf5.opening.fault_of", lambda path: asked.append(path))
    for _ in range(2):
        with readable(path, "bank") as file:
            assert len(file["text"]) == 300
    assert asked == [path]
    with h5py.File(path, "r+") as file:
        file["more"] = np.arange(3)
    with readable(path, "bank"):
        assert asked == [path, path]


def test_what_takes_the_place_of_a_vetted_file_is_vetted_too(tmp_path, monkeypatch):
    path, other = texts(tmp_path / "a.h5"), texts(tmp_path / "b.h5")
    asked = []

    def vet(asked_for: Path) -> None:
        asked.append(asked_for.stat().st_ino)
        if other.exists():
            os.replace(other, path)

    monkeypatch.setattr("features.infrastructure.hdf5.opening.fault_of", vet)
    with readable(path, "bank"):
        assert len(set(asked)) == 2 and asked[-1] == path.stat().st_ino
