"""Addresses beside paths: which is which, their parts, and what they say of themselves."""

import pickle
from pathlib import Path

import fsspec
import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Address, is_address, located, on_disk, working_file


@pytest.mark.parametrize(
    "path",
    [
        "birds",
        "/data/birds",
        "//data/birds",
        "c:/birds",
        "cub:birds",
        "folder://birds",
        "a b?c&d",
        "s3:/b/x",
        "s3:",
        "",
    ],
)
def test_what_is_no_address_stays_the_path_that_it_was(path):
    assert not is_address(path) and located(path) == Path(path)


@pytest.mark.parametrize(
    "text", ["s3://b/x", "gs://b/x", "https://h/x", "hf://datasets/o/n/x", "memory://x", "S3://b/x"]
)
def test_addresses_are_told_by_the_protocols_of_fsspec(text):
    assert located(text) == Address(text) == located(f"<{text}>") and str(located(text)) == text


@pytest.mark.parametrize(
    ("text", "name", "suffix", "parent"),
    [
        ("s3://bucket/a/bank.h5", "bank.h5", ".h5", "s3://bucket/a"),
        ("s3://bucket/bank", "bank", "", "s3://bucket"),
        ("s3://bucket", "bucket", "", "s3://bucket"),
        ("https://h/a/my%20bank.h5?key=a/b.csv", "my bank.h5", ".h5", "https://h/a?key=a/b.csv"),
        ("https://h/a/b/", "b", "", "https://h/a"),
        ("memory://x/list.txt.gz", "list.txt.gz", ".gz", "memory://x"),
    ],
)
def test_the_parts_of_an_address(text, name, suffix, parent):
    address = located(text)
    assert (address.name, address.suffix, address.parent.full) == (name, suffix, parent)


@pytest.mark.parametrize(
    ("folder", "below", "found"),
    [
        ("s3://b/i", "train/a b#1?.jpg", "s3://b/i/train/a b#1?.jpg"),
        ("s3://b", "a.jpg", "s3://b/a.jpg"),
        ("s3://b/i/", "../j/a.jpg", "s3://b/j/a.jpg"),
        ("https://h/i?key=1", "ä/a b#1?%.jpg", "https://h/i/%C3%A4/a%20b%231%3F%25.jpg?key=1"),
        ("https://h", "a.jpg", "https://h/a.jpg"),
    ],
)
def test_a_file_below_a_folder(folder, below, found):
    assert (located(folder) / below).full == found


def test_an_address_in_place_of_a_path_below_a_folder_stays():
    address = located("s3://b/names.txt")
    assert located("s3://c/d") / address == address == Path("data") / address
    assert address.with_suffix(".h5").full == "s3://b/names.h5" and address.with_name("x").full == "s3://b/x"
    assert address.resolve() == address == pickle.loads(pickle.dumps(address))


def test_no_text_of_an_address_has_its_secrets():
    address = located("https://me:SECRET@h/a.h5?sig=SECRET")
    for text in (str(address), repr(address), f"{address}", f"{[address]}", str(address.parent), str(address / "b")):
        assert "SECRET" not in text and "https://h" in text
    assert address.full.count("SECRET") == 2


def test_files_and_folders_of_a_store(memory):
    fsspec.filesystem("memory").pipe_file(f"{memory}/a/b.txt", b"one\ntwo\n")
    file, folder, missing = located(f"{memory}/a/b.txt"), located(f"{memory}/a"), located(f"{memory}/c")
    assert file.is_file() and file.exists() and not file.is_dir()
    assert folder.is_dir() and folder.exists() and not folder.is_file()
    assert not (missing.is_file() or missing.is_dir() or missing.exists())
    assert file.read_bytes() == b"one\ntwo\n" and file.read_bytes(4, 7) == b"two"
    with file.open(encoding="utf-8") as opened:
        assert list(opened) == ["one\n", "two\n"]
    with pytest.raises(InputError, match="gives 1 bytes where 3 are asked for"):
        file.read_bytes(7, 10)
    for read in (missing.read_bytes, missing.open, missing.unlink):
        with pytest.raises(FileNotFoundError, match="No such file"):
            read()
    file.unlink()
    missing.unlink(missing_ok=True)
    assert not file.exists()


def test_a_page_that_lists_a_folder_is_no_file(web):
    (web.root / "birds").mkdir()
    (web.root / "birds" / "a.html").write_text("a page")
    (web.root / "list.txt").write_text("a.jpg 0")
    birds = located(f"{web.address}/birds")
    assert birds.is_dir() and not birds.is_file() and (birds / "a.html").is_file()
    assert located(f"{web.address}/list.txt").is_file() and not located(f"{web.address}/list.txt").is_dir()
    assert not located(f"{web.address}/none").exists()


def test_work_on_an_address_is_in_the_working_directory_and_on_a_path_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert working_file(Path("a/bank.h5"), ".resume") == Path("a/bank.h5.resume")
    one, other = (working_file(located(f"s3://{bucket}/bank.h5"), ".resume") for bucket in ("b", "c"))
    assert one.parent == tmp_path and one.name.startswith("bank.h5.") and one.name.endswith(".resume") and one != other
    assert one == working_file(located("s3://b/bank.h5"), ".resume")  # the next call finds it


def test_a_run_directory_is_on_the_disk():
    assert on_disk("runs/a", "`out`") == Path("runs/a")
    with pytest.raises(InputError, match="`out` s3://b/runs/a: is an address, but a run directory is on the disk"):
        on_disk("s3://b/runs/a", "`out`")
