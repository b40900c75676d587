"""Tables are whole or not there, and say how they came about."""

import csv
import hashlib
import json
import os

import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.tables import read_provenance, read_rows, write_table


def test_provenance_header_and_rows(tmp_path):
    path = tmp_path / "new" / "t.csv"
    write_table(path, {"made": "here", "Käse": [1]}, ("name", "value"), [("a, b", 0.1), ('"c"', 1 / 3)])
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    digest, *others = json.loads(first.removeprefix("# ")).items()
    zeros = path.read_bytes().replace(digest[1].encode(), b"0" * 64)
    assert digest == ("sha256", hashlib.sha256(zeros).hexdigest()) and dict(others) == {"made": "here", "Käse": [1]}
    assert read_provenance(path, kind="table") == dict(others)
    header, *rows = csv.reader(rest)
    assert header == ["name", "value"]
    assert [(name, float(value)) for name, value in rows] == [("a, b", 0.1), ('"c"', 1 / 3)]


def test_a_table_without_provenance_begins_with_its_header(tmp_path):
    write_table(tmp_path / "t.csv", None, ("a", "b"), [(1, None)])
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,\n"


def test_a_table_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    write_table(path, {}, ("a",), [(1,)])
    before = path.read_bytes()

    def broken():
        yield (2,)
        raise RuntimeError("no more rows")

    with pytest.raises(RuntimeError):
        write_table(path, {}, ("a",), broken())
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_table(path, {}, ("a",), [(3,)])
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["t.csv"]


def test_the_first_lines_of_a_binary_file_are_no_header(tmp_path):
    (tmp_path / "bank.h5").write_bytes(b"\x89HDF\r\n\x1a\n\0\0\0")
    with pytest.raises(InputError, match=r"bank\.h5: not a readable subset file \(it is not text\)"):
        list(read_rows(tmp_path / "bank.h5", ("class",), kind="subset file"))
