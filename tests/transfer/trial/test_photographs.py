"""What people give: a folder of classes, of parts, a table, a spec."""

from __future__ import annotations

import pytest
from support import picture

from features.infrastructure.errors import InputError
from transfer.trial.photographs import Photographs, as_spec, read_photographs


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def classes(folder):
    for name in ("ant", "bee"):
        for i in range(3):
            picture(folder / name / f"{i}.png", shade=i)


def test_a_folder_of_classes(photos):
    classes(photos / "p")
    assert read_photographs("p") == Photographs("folder:p")
    assert read_photographs("p/", test="other") == Photographs("folder:p", "folder:other")
    for name in ("new.jpg", "again.PNG", "._new.jpg", "notes.txt"):
        picture(photos / "p" / "x.png")
        (photos / "p" / "x.png").rename(photos / "p" / name)
    found = read_photographs("p")
    assert found.loose == ("again.PNG", "new.jpg") and str(found.root) == "p"


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("Training", "val"), ("training_set", "test_set"), ("train", None)]
)
def test_a_folder_of_parts(photos, train, test):
    for name in filter(None, (train, test)):
        classes(photos / "p" / name)
    assert read_photographs("p") == Photographs(f"folder:p@{train}", None if test is None else f"folder:p@{test}")


def test_a_table(photos):
    (photos / "a.csv").write_text("image,label\nx.png,ant\n")
    assert read_photographs("a.csv") == Photographs("csv:a.csv")
    (photos / "b.csv").write_text("image,label,split\nx.png,ant,train\ny.png,ant,test\n")
    assert read_photographs("b.csv") == Photographs("csv:b.csv@train", "csv:b.csv@test")
    assert read_photographs("b.csv", "csv:c.csv") == Photographs("csv:b.csv@train", "csv:c.csv")
    (photos / "c.csv").write_text("image,label,split\nx.png,ant,a\ny.png,ant,b\n")
    assert read_photographs("c.csv") == Photographs("csv:c.csv")


def test_a_spec(photos):
    assert read_photographs("digits:@train", "digits:@test") == Photographs("digits:@train", "digits:@test")
    assert as_spec("x.csv") == "csv:x.csv" and as_spec("x") == "folder:x" and as_spec("cub:x@test") == "cub:x@test"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "nowhere: no such file or folder; give a folder of class folders"),
        ("empty", "empty: has no class folders; put the images of each class into a folder of its own"),
        ("x.png", "x.png: is no table"),
        ("foldr:x", "foldr:x: no such file or folder"),
    ],
)
def test_what_is_neither_is_refused(photos, given, message):
    (photos / "empty").mkdir()
    picture(photos / "x.png")
    with pytest.raises(InputError, match=message):
        read_photographs(given)
