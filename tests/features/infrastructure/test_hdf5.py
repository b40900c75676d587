"""HDF5 files are complete or not there, and errors of the system name them."""

import errno
import fcntl

import h5py
import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import atomic_hdf5, opened, read_attributes, read_text, readable, write_text


def test_what_is_written_is_read(tmp_path):
    path, texts = tmp_path / "new" / "a.h5", ["a", "ä", "\udcff"]  # the last is a file name that is not UTF-8
    with atomic_hdf5(path, {"size": 3, "name": "ä", "split": None}) as file:
        write_text(file, "text", texts)
    with opened(path) as file:
        assert read_attributes(file) == {"size": 3, "name": "ä", "split": "", "complete": True}
        assert read_text(file, "text") == texts
    with pytest.raises(RuntimeError), atomic_hdf5(path, {}):
        raise RuntimeError
    with opened(path) as file:
        assert read_text(file, "text") == texts
    assert [entry.name for entry in path.parent.iterdir()] == ["a.h5"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, opened(tmp_path / "none.h5"):
        pass
    assert caught.value.filename == str(tmp_path / "none.h5") and caught.value.strerror == "No such file or directory"


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "Can't synchronously write data (file write failed)")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(OSError) as caught, atomic_hdf5(path, {}) as file:
        file.create_dataset("x", data=[1])
    assert caught.value.errno == errno.ENOSPC and "a.h5" in caught.value.filename
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_hdf5_keeps_the_reason(tmp_path):
    (tmp_path / "a.h5").write_text("not HDF5")
    with pytest.raises(OSError, match="file signature not found"), opened(tmp_path / "a.h5"):
        pass


def test_a_file_is_opened_where_it_cannot_be_locked(tmp_path):
    path = tmp_path / "a.h5"
    with atomic_hdf5(path, {"size": 3}):
        pass
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # HDF5 asks for such a lock unless it is told not to
        with readable(path, "bank") as file:
            assert file.attrs["size"] == 3


def test_a_fault_of_the_system_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with atomic_hdf5(path, {}):
        pass

    def stale(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(h5py, "File", stale)
    with (
        pytest.raises(InputError, match=r"a.h5: the bank cannot be read \(Stale file handle\)"),
        readable(path, "bank"),
    ):
        pass
