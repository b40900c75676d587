"""HDF5 files are complete or not there, changed bytes are noticed, and errors of the system name them."""

import errno
import fcntl
import json
import os
import resource
import stat
import subprocess

import h5py
import numpy as np
import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.hdf5.content import stored
from features.infrastructure.hdf5.opening import atomic_hdf5, read_attributes, readable
from features.infrastructure.provenance import versions
from features.infrastructure.texts import Texts

ARRAY = np.random.default_rng(0).normal(size=(1300, 3)).astype(np.float32)  # three blocks of rows
TEXTS = ["a", "ä", "", "\udcff", "two words"]  # the fourth is a file name that is not UTF-8


def write(path, texts=TEXTS, **attributes):
    with atomic_hdf5(path, {"size": 3, "name": "ä", "split": None} | attributes) as writer:
        writer.text("text", texts)
        writer.array("group/array", ARRAY)
    return path


def read(path):
    with stored(path, "bank") as content:
        return (
            content.attributes,
            content.text("text"),
            content.array("group/array", "floats", (None, 3)).tobytes(),
            np.concatenate(list(content.blocks("group/array", (None, 3), 100))).tobytes(),
        )


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def test_what_is_written_is_read(tmp_path):
    path = write(tmp_path / "new" / "a.h5")
    attributes = {"size": 3, "name": "ä", "split": "", "complete": True, "versions": json.dumps(versions())}
    assert read(path) == (attributes, TEXTS, ARRAY.tobytes(), ARRAY.tobytes())
    with pytest.raises(RuntimeError), atomic_hdf5(path, {}):
        raise RuntimeError
    assert read(path)[1] == TEXTS
    assert [entry.name for entry in path.parent.iterdir()] == ["a.h5"]


def test_one_long_text_among_many_does_not_lengthen_them_all(tmp_path):
    texts = [*(f"class {number}" for number in range(20_000)), "x" * 10_000]
    path = write(tmp_path / "a.h5", texts)
    assert path.stat().st_size < 2**21 and read(path)[1] == texts
    # Texts of about one length have no heap, which has no checksum.
    with h5py.File(write(tmp_path / "b.h5", texts[:-1])) as file:
        assert file["text"].dtype.kind == "S"


def test_half_a_pair_of_utf_16_is_stored_as_its_escape(tmp_path):
    path = write(tmp_path / "a.h5", ["x\ud800", *TEXTS[1:]], name="folder:x\ud800", other="\udcff")
    attributes, texts, *_ = read(path)
    assert texts[0] == "x\\ud800" and attributes["name"] == "folder:x\\ud800" and attributes["other"] == "\udcff"


def test_long_texts_are_stored_without_decoding_them(tmp_path, monkeypatch):
    texts = Texts.of([*("ab" for _ in range(20_000)), "\udcff" * 10_000])
    with monkeypatch.context() as patch:
        patch.setattr(Texts, "__iter__", None)
        path = write(tmp_path / "a.h5", texts)
    assert read(path)[1] == list(texts)


def test_other_programs_read_it(tmp_path):
    with h5py.File(write(tmp_path / "a.h5")) as file:
        assert file["text"].asstr(errors="surrogateescape")[:].tolist() == TEXTS
        np.testing.assert_array_equal(file["group/array"][:], ARRAY)
        assert file.attrs["name"].decode() == "ä"


def test_a_text_with_nul_is_not_cut_off(tmp_path):
    with pytest.raises(ValueError, match="text holds the character NUL"):
        write(tmp_path / "a.h5", ["a\0b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda file: file["group/array"].__setitem__((1299, 2), 7), "group/array"),
        (lambda file: file["text"].__setitem__(1, b"b"), "text"),
        (lambda file: file.attrs.__setitem__("size", 4), "its attributes or its list of datasets"),
        (lambda file: file.attrs.__setitem__("new", 4), "its attributes or its list of datasets"),
        (lambda file: file["group/array"].attrs.__setitem__("crc32", [1, 2, 3]), "its attributes or its list of"),
        (lambda file: file.move("group/array", "other"), "it has no dataset group/array"),
    ],
)
def test_what_was_edited_is_not_taken_for_what_was_written(tmp_path, change, what):
    path = write(tmp_path / "a.h5")
    edit(path, change)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: not a readable bank (") and what in str(caught.value)


def test_what_changes_no_value_is_no_damage(tmp_path):
    path = write(tmp_path / "a.h5")
    before = read(path)

    def compress(file):
        array = file["group/array"]
        file.create_dataset("copy", data=array[:], compression="gzip", shuffle=True)
        file["copy"].attrs["crc32"] = array.attrs["crc32"]
        del file["group/array"]
        file.move("copy", "group/array")
        file.create_dataset("notes", data=[1, 2])

    edit(path, lambda file: None)
    assert read(path) == before
    edit(path, compress)
    assert read(path) == before


def test_a_file_of_an_earlier_release_is_read_without_checksums(tmp_path):
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"size": 3, "name": "ä", "split": "", "complete": True, "versions": json.dumps(versions())})
        file.create_dataset(
            "text", data=[text.encode("utf-8", "surrogateescape") for text in TEXTS], dtype=h5py.string_dtype()
        )
        file["group/array"] = ARRAY
    assert read(path) == read(write(tmp_path / "new.h5"))


@pytest.mark.parametrize(
    ("name", "kind", "shape", "message"),
    [
        ("none", "floats", (None,), "it has no dataset none"),
        ("group", "floats", (None,), "it has no dataset group"),
        (
            "group/array",
            "whole numbers",
            (None, 3),
            "group/array holds float32 of shape (1300, 3); expected whole numb",
        ),
        ("group/array", "floats", (1300, 4), "expected floats of shape (1300, 4)"),
        ("group/array", "floats", (None,), "expected floats of shape (any)"),
        ("text", "floats", (None,), "expected floats of shape (any)"),
    ],
)
def test_another_kind_or_shape_is_refused(tmp_path, name, kind, shape, message):
    path = write(tmp_path / "a.h5")
    with pytest.raises(InputError) as caught, stored(path, "bank") as content:
        content.array(name, kind, shape)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with (
        pytest.raises(InputError, match=r"none.h5: the bank cannot be read \(No such file or directory\)"),
        readable(tmp_path / "none.h5", "bank"),
    ):
        pass


def test_a_file_that_is_not_hdf5_keeps_the_reason(tmp_path):
    (tmp_path / "a.h5").write_text("not HDF5")
    with (
        pytest.raises(InputError, match=r"a.h5: not a readable bank \(it is not an HDF5 file\)"),
        readable(tmp_path / "a.h5", "bank"),
    ):
        pass


def test_a_file_is_opened_where_it_cannot_be_locked(tmp_path):
    path = write(tmp_path / "a.h5")
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # HDF5 asks for such a lock unless it is told not to
        with readable(path, "bank") as file:
            assert read_attributes(file)["size"] == 3


def test_a_file_is_read_where_nothing_can_be_written(tmp_path):
    path = write(tmp_path / "a.h5")
    path.chmod(stat.S_IREAD)
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    try:
        assert read(path)[1] == TEXTS
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_fault_of_the_system_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5")

    def stale(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(h5py, "File", stale)
    with (
        pytest.raises(InputError, match=r"a.h5: the bank cannot be read \(Stale file handle\)"),
        readable(path, "bank"),
    ):
        pass


def written_within(path, room):
    """Write the file in a process of its own that may write files of ``room`` bytes; its exit status."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            write(path)
            status = 0
        except OSError as error:
            status = error.errno if error.filename in (str(path), str(path.with_name(f".{path.name}.part"))) else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_no_room_is_an_error_at_every_byte_at_which_it_shows(tmp_path):
    size = write(tmp_path / "a.h5").stat().st_size
    before = (tmp_path / "a.h5").read_bytes()
    for room in [*range(0, size, size // 40), size - 1]:
        assert written_within(tmp_path / "a.h5", room) == errno.EFBIG
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before
    assert written_within(tmp_path / "a.h5", size) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only a person who may mount disks can make a small one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_the_old_file(small_disk):
    path = write(small_disk / "a.h5")
    before = path.read_bytes()
    for filled in range(160, 257, 4):
        (small_disk / "other").write_bytes(bytes(1024 * max(filled - len(before) // 1024 - 8, 0)))
        try:
            write(path)
        except OSError as error:
            assert error.errno == errno.ENOSPC and "a.h5" in error.filename
        assert path.read_bytes()[:8] == before[:8] and read(path)[1] == TEXTS
        assert sorted(entry.name for entry in small_disk.iterdir()) == ["a.h5", "other"]
    with pytest.raises(OSError, match="No space left on device"):
        write(path, [str(number) * 20 for number in range(10_000)])
    assert read(path)[1] == TEXTS
