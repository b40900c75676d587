"""Tables are whole or not there, and say how they came about."""

import csv
import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from features.infrastructure.console import warn_once
from features.infrastructure.errors import InputError
from features.infrastructure.formats import tables
from features.infrastructure.formats.tables import read_provenance, read_rows, write_table
from features.infrastructure.provenance import versions


def test_provenance_header_and_rows(tmp_path):
    path = tmp_path / "new" / "t.csv"
    write_table(path, {"made": "here", "Käse": [1]}, ("name", "value"), [("a, b", 0.1), ('"c"', 1 / 3)])
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    digest, *others, packages = json.loads(first.removeprefix("# ")).items()
    zeros = path.read_bytes().replace(digest[1].encode(), b"0" * 64)
    assert digest == ("sha256", hashlib.sha256(zeros).hexdigest()) and dict(others) == {"made": "here", "Käse": [1]}
    assert packages == ("versions", versions())
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


ROWS = [("auk", 1.5), ("café, au lait", 2.0), ('a "quoted" name', 1 / 3)]


def read(path):
    return [
        (row["name"], float(row["value"])) for _, row in read_rows(path, ("name", "value"), kind="table", make=MAKE)
    ]


MAKE = "transfer select --out t.csv"
CHANGED = "t.csv: changed since `transfer select` wrote it; what it says now is used\n"
DAMAGED = "t.csv: its first line, which says what it was made of, is damaged; it is read without it\n"


def test_no_flipped_bit_of_a_table_is_passed_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = Path("t.csv")
    write_table(path, {"strategy": "nearest", "sizes": [1, 2]}, ("name", "value"), ROWS)
    content, provenance = path.read_bytes(), {"strategy": "nearest", "sizes": [1, 2]}
    assert read(path) == ROWS and read_provenance(path, kind="table") == provenance
    assert capsys.readouterr().err == ""
    refused = said = 0
    for place in range(len(content)):
        for bit in (0, 3):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            try:
                rows, about = read(path), read_provenance(path, kind="table")
            except (InputError, ValueError):
                refused += 1
                continue
            told = capsys.readouterr().err
            warn_once.cache_clear()
            assert told and set(told.splitlines(keepends=True)) <= {CHANGED, DAMAGED}, (place, bit, told)
            said += 1
            assert len(rows) >= 2 or about != provenance or rows != ROWS
    assert refused > 10 and said > 300


def test_an_edited_table_is_read_and_said_once_and_an_older_one_says_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = Path("t.csv")
    write_table(path, {"made": "here"}, ("name", "value"), ROWS)
    path.write_text(path.read_text().replace("1.5", "2.5"))
    assert read(path)[0] == ("auk", 2.5)
    assert capsys.readouterr().err == CHANGED
    read(path)
    assert capsys.readouterr().err == ""  # a command reads a file more than once
    old = path.read_text().split("\n", 1)[1]
    for first in ('# {"made": "here"}', "# chosen by hand", "# sha256 of nothing"):
        path.write_text(f"{first}\n{old}")
        assert read(path)[0] == ("auk", 2.5) and isinstance(read_provenance(path, kind="table"), dict)
        assert capsys.readouterr().err == ""
    path.write_text(f'# {{"made": "here", x\n{old}')
    assert read_provenance(path, kind="table") == {} and capsys.readouterr().err == DAMAGED


def test_other_line_ends_and_the_mark_of_an_editor_are_no_change(tmp_path, capsys):
    path = tmp_path / "t.csv"
    write_table(path, {"made": "here"}, ("name", "value"), ROWS * 3000)
    assert path.stat().st_size > 1 << 16  # more than a block, so that a line end falls between two
    content = path.read_bytes()
    for written in (content.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + content):
        path.write_bytes(written)
        assert read(path) == ROWS * 3000 and capsys.readouterr().err == ""


def test_a_table_that_a_spreadsheet_saved_is_read_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = Path("t.csv")
    write_table(path, {"made": "here"}, ("name", "value"), ROWS)
    first, rest = path.read_text().split("\n", 1)
    quoted = first.replace('"', '""')
    path.write_text(f'"{quoted}",\n{rest}')
    assert read(path) == ROWS and read_provenance(path, kind="table") == {"made": "here"}
    assert capsys.readouterr().err == CHANGED


def test_a_table_of_another_program_whose_column_is_called_as_the_digest_is_no_changed_one(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text(f"sha256,label\n{'0' * 64},1\n")
    assert [row["label"] for _, row in read_rows(path, ("label",), kind="table")] == ["1"]
    path.write_text(f"id,cluster\n{'3f' * 32},1\n")
    assert [row["cluster"] for _, row in read_rows(path, ("cluster",), kind="table")] == ["1"]
    assert capsys.readouterr().err == ""


def test_a_line_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_LINE", 1000)
    path = tmp_path / "t.csv"
    path.write_text("name,value\n" + "x" * 1000)
    with pytest.raises(InputError, match="a line has more than 1,000 letters"):
        list(read_rows(path, ("name",), kind="table"))


def test_a_table_is_streamed(tmp_path):
    """What is held at once is a block, not the table."""
    path = tmp_path / "t.csv"
    write_table(path, {}, ("name", "value"), ((f"class {i}", i) for i in range(100_000)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_rows(path, ("name", "value"), kind="table")) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000 < path.stat().st_size
    finally:
        tracemalloc.stop()


FORMULAS = ("=1+1", "+x", "-x", "@SUM(A1)", '=HYPERLINK("http://x")', "-1+1", "'=1", "''@x", "-", "=", "\t=1")
PLAIN = ("a", "-1", "+2.5", "-1e-3", "1-2", "it's", "'quoted'", "''", "", "#x", "-0.25")


@pytest.mark.parametrize("text", FORMULAS + PLAIN)
def test_a_spreadsheet_runs_no_name_and_the_name_reads_back(text, tmp_path):
    write_table(tmp_path / "t.csv", {}, ("name", "number"), [(text, -0.5)])
    with (tmp_path / "t.csv").open(newline="") as file:
        cell, number = list(csv.reader(file))[2]
    assert cell == (f"'{text}" if text in FORMULAS else text) and number == "-0.5"
    ((_, row),) = read_rows(tmp_path / "t.csv", ("name",), kind="table")
    assert row == {"name": text.strip(), "number": "-0.5"}
