"""Only regular files are opened, at once, and none is read beyond a limit."""

from __future__ import annotations

import bz2
import hashlib
import os
import socket
from pathlib import Path

import pytest

from features.infrastructure.disk.regular_files import (
    check_own_files,
    file_sha256,
    only_regular_files,
    open_regular,
    read_limited,
)
from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import read_json, read_yaml
from features.infrastructure.formats.tables import read_columns, read_provenance, read_rows
from features.infrastructure.names import as_text


@pytest.fixture
def odd_files(tmp_path) -> dict[str, Path]:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    listening.close()
    return {
        "is a pipe": tmp_path / "pipe",
        "is a pipe, ": tmp_path / "link",
        "is a socket": tmp_path / "socket",
        "is a device": Path("/dev/zero"),
        "is a directory": tmp_path,
        "no such file of a test": tmp_path / "none",
        "cannot be read (embedded null byte)": tmp_path / "a\0b",
        "cannot be read (File name too long)": tmp_path / ("x" * 300),
        "cannot be read (Too many levels of symbolic links)": tmp_path / "round",
    }


READERS = {
    "open": lambda path: open_regular(path, "file of a test").close(),
    "limited": lambda path: read_limited(path, "file of a test", 10),
    "json": lambda path: read_json(path, "file of a test"),
    "yaml": lambda path: read_yaml(path, "file of a test"),
    "rows": lambda path: list(read_rows(path, ("a",), kind="file of a test")),
    "columns": lambda path: read_columns(path, kind="file of a test"),
    "provenance": lambda path: read_provenance(path, kind="file of a test"),
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_at_once(reader, odd_files):
    for said, path in odd_files.items():  # a pipe without a writer would block for ever
        with pytest.raises(InputError) as error:
            READERS[reader](path)
        assert str(error.value).startswith(f"{as_text(' '.join(str(path).split()))}: ") and said in str(error.value)
        assert "file of a test" in str(error.value) and "\n" not in str(error.value)
        assert str(error.value).count(as_text(" ".join(str(path).split()))) == 1  # it is told once


def test_a_pipe_whose_writer_waits_is_not_woken(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(writer, b"a: 1\n")
        with pytest.raises(InputError, match="is a pipe, not a recipe; write what it gives to a file"):
            read_yaml(tmp_path / "pipe", "recipe")
        assert os.read(writer, 10) == b"a: 1\n"
    finally:
        os.close(writer)


def test_a_limit_counts_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * (1 << 20))
    assert len(read_limited(tmp_path / "file", "file", 1 << 20)) == 1 << 20
    with pytest.raises(InputError, match="more than 1 MiB"):
        (tmp_path / "file").write_bytes(b"x" * ((1 << 20) + 1))
        read_limited(tmp_path / "file", "file", 1 << 20)


def test_the_digest_is_that_of_the_bytes(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file", "file") == hashlib.sha256(content).hexdigest()


def test_a_directory_owns_its_files(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "precious"
    (run / "checkpoints").mkdir(parents=True)
    outside.write_text("precious")
    (run / "log.txt").write_text("")
    (run / "again.txt").symlink_to(run / "log.txt")
    (run / "elsewhere").symlink_to(tmp_path)  # a folder on another disk
    check_own_files(run, "`out`")
    (run / "report.html").symlink_to("../precious")
    with pytest.raises(InputError, match=r"`out` .*report\.html: is a link that leads out of the directory"):
        check_own_files(run, "`out`")
    (run / "report.html").unlink()
    os.mkfifo(run / "report.html")
    with pytest.raises(InputError, match=r"report\.html: is a pipe or a device"):
        check_own_files(run, "`out`")


@pytest.mark.parametrize("opened", [open, Path.open, bz2.open, lambda path: os.open(path, os.O_RDONLY)])
def test_no_library_opens_a_pipe_where_it_is_forbidden(tmp_path, opened):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x")
    with only_regular_files():
        with (tmp_path / "file").open() as file:
            assert file.read() == "x"
        with pytest.raises(InputError, match="is a pipe; remove it"):
            opened(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)  # allowed again
    os.close(descriptor)
