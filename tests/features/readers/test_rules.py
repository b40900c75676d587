"""The rules that hold for every reader."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from support import picture

from features import open_dataset
from features.infrastructure.errors import InputError
from features.readers.schemes.clusters import write_clusters
from similarity import Subset

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def test_one_name_is_one_class_in_every_normalisation(tmp_path):
    for name in (f"train/{NFD}/1.png", "train/b/1.png", f"val/{NFC}/1.png", "val/b/1.png"):
        picture(tmp_path / name)
    train, val = (open_dataset(f"folder:{tmp_path}@{split}") for split in ("train", "val"))
    assert train.classes == val.classes == ("b", NFC)
    assert train.image(0).size == train.image(1).size == (4, 4)
    picture(tmp_path / "train" / NFC / "2.png")
    with pytest.raises(InputError, match=f"two classes are called '{NFC}', in two Unicode normalisations; rename one"):
        open_dataset(f"folder:{tmp_path}@train")


def test_names_that_are_not_utf_8_are_text_and_open(tmp_path):
    for name in (b"caf\xe9/\xff.png", b"caf\xe9/b.png", "naïve/a.png".encode()):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        picture(path)
    dataset = open_dataset(f"folder:{tmp_path}")
    assert dataset.classes == ("caf\\xe9", "naïve")
    assert list(dataset.ids) == ["caf\\xe9/b.png", "caf\\xe9/\\xff.png", "naïve/a.png"]
    assert [dataset.image(i).size for i in range(3)] == [(4, 4)] * 3
    "".join([*dataset.classes, *dataset.ids]).encode()  # UTF-8 without surrogates


def test_names_cannot_control_the_screen(tmp_path):
    picture(tmp_path / "a\x1b[31mred" / "b\n1.png")
    dataset = open_dataset(f"folder:{tmp_path}")
    assert dataset.classes == ("a\\x1b[31mred",) and list(dataset.ids) == ["a\\x1b[31mred/b\\n1.png"]
    assert dataset.image(0).size == (4, 4)


def test_what_is_left_out_is_said_once_a_command(tmp_path, capsys):
    picture(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    for _ in range(3):
        assert open_dataset(f"folder:{tmp_path}").classes == ("a",)
    assert capsys.readouterr().err.count("1 of 2 classes have no image and are left out: 'b'") == 1


def test_what_an_exclusion_empties_is_said(tmp_path, capsys):
    for name in ("a/1.png", "b/1.png"):
        picture(tmp_path / name)
    (tmp_path / "list.csv").write_text("id\nb/1.png\n")
    assert open_dataset(f"folder:{tmp_path}?exclude={tmp_path / 'list.csv'}").classes == ("a",)
    assert "classes have no image and are left out: 'b'" in capsys.readouterr().err


def test_names_from_files_match_in_every_normalisation(tmp_path):
    picture(tmp_path / "data" / NFD / "1.png")
    (tmp_path / "data" / "words.txt").write_text(f"{NFC}\ttea house\n")
    assert open_dataset(f"folder:{tmp_path / 'data'}?names=words.txt").classes == (f"{NFC} tea house",)
    subset = tmp_path / "subset.csv"
    subset.write_text(f"source,class,count,rank,distance,targets\nfolder:x,{NFD},3,1,0.5,t\n")
    assert Subset.read(subset).rows[0].class_name == NFC


def test_an_exclusion_of_an_earlier_version_still_counts(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        picture(tmp_path / name)
    (tmp_path / "list.txt").write_text("./a/1.png 0\n./b/1.png 1\n")
    (tmp_path / "out.csv").write_text("id\n./b/1.png\n")
    assert list(open_dataset(f"list:{tmp_path / 'list.txt'}?exclude={tmp_path / 'out.csv'}").ids) == ["a/1.png"]


def test_clusters_have_no_numbers_of_their_base(tmp_path):
    picture(tmp_path / "a" / "1.png")
    picture(tmp_path / "b" / "1.png")
    (tmp_path / "list.txt").write_text("a/1.png 0\nb/1.png 1\n")
    base = f"list:{tmp_path / 'list.txt'}"
    rows = [("a/1.png", "k1"), ("b/1.png", "k0")]
    write_clusters(tmp_path / "c.csv", base, open_dataset(base).manifest_sha256, rows, {})
    assert open_dataset(base).numbers == (0, 1) and open_dataset(f"clusters:{tmp_path / 'c.csv'}").numbers is None
