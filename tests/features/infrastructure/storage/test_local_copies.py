"""Copies of stored files: made once for each version, whole, and removed at the end unless they are to stay."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.storage import local_copies
from features.infrastructure.storage.addresses import local_copy, located
from features.infrastructure.storage.local_copies import CACHE


def gets(web) -> int:
    return sum(asked.startswith("GET") for asked in web.asked)


def test_a_file_is_copied_once_for_each_version(web, monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE, str(tmp_path / "kept"))
    file, address = web.root / "bank.h5", located(f"{web.address}/bank.h5")
    file.write_bytes(b"one")
    first = local_copy(address)
    assert first.read_bytes() == b"one" and first.suffix == ".h5" and first.is_relative_to(tmp_path / "kept")
    assert local_copy(address) == first and gets(web) == 1
    os.utime(file, (1, 1))  # another version of the same size
    file.write_bytes(b"two")
    os.utime(file, (2, 2))
    assert local_copy(address).read_bytes() == b"two" and first.read_bytes() == b"one" and gets(web) == 2
    assert not list((tmp_path / "kept").rglob("*.part"))


def test_addresses_that_differ_in_their_query_alone_are_two_files(web):
    (web.root / "get").write_bytes(b"content")
    copies = {local_copy(located(f"{web.address}/get?id={i}")) for i in (1, 2)}
    assert len(copies) == 2


def test_what_was_overwritten_in_memory_is_read_anew(memory):
    store, address = fsspec.filesystem("memory"), located(f"{memory}/a.txt")
    for content in (b"one", b"two"):
        store.pipe_file(f"{memory}/a.txt", content)
        assert address.open("rb").read() == content


def test_a_transfer_that_ends_early_is_made_again_and_never_used(web, monkeypatch):
    (web.root / "a.bin").write_bytes(b"x" * 1000)
    address = located(f"{web.address}/a.bin")
    real, calls = local_copies.answer, []

    def cut(full, request):
        """Ends each of the first transfers after half of the file."""

        class Short:
            def __init__(self, store):
                self.store = store

            def __getattr__(self, name):
                return getattr(self.store, name)

            def get_file(self, path, file):
                calls.append(file)
                self.store.get_file(path, file)
                if len(calls) <= broken:
                    os.truncate(file, 500)

        return real(full, lambda store, path: request(Short(store), path))

    monkeypatch.setattr(local_copies, "answer", cut)
    broken = 2
    assert local_copy(address).read_bytes() == b"x" * 1000 and len(calls) == 3
    broken = 99
    other = located(f"{web.address}/a.bin?again")
    with pytest.raises(InputError, match=r"does not answer \(ConnectionError\)"):
        local_copy(other)
    assert not list(local_copies._place(other.full, other.info()).parent.iterdir())


def test_threads_that_ask_for_one_file_at_once_wait_for_one_transfer(web):
    (web.root / "a.txt").write_bytes(b"content" * 1000)
    address = located(f"{web.address}/a.txt")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: local_copy(address), range(8)))
    assert len(set(found)) == 1 and found[0].read_bytes() == b"content" * 1000 and gets(web) == 1


def test_copies_are_removed_when_the_process_ends():
    code = """
import fsspec
from features.infrastructure.storage.addresses import local_copy, located
fsspec.filesystem("memory").pipe_file("/x/a.txt", b"content")
print(local_copy(located("memory://x/a.txt")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    copy = Path(done.stdout.strip())
    assert copy.name == "copy.txt" and not copy.exists() and not copy.parents[1].exists()


def test_a_folder_is_no_file_to_copy(memory):
    fsspec.filesystem("memory").pipe_file(f"{memory}/a/b.txt", b"content")
    with pytest.raises(IsADirectoryError):
        local_copy(located(f"{memory}/a"))
