"""``hf:``, with the package where it is installed, and with a stand-in for it where it is not."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PillowImage
from support import refused

from features.image_sources import UnreadableImage
from features.readers import open_dataset


def png(shade):
    file = io.BytesIO()
    PillowImage.new("RGB", (5, 4), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


class Image:
    """A column of images."""

    def __init__(self, decode=True):
        self.decode = decode


class Value:
    """A column of plain values."""


class ClassLabel:
    def __init__(self, names):
        self.names = names


class Table:
    """As much of ``datasets.Dataset`` as the reader asks for; decoding is a failure."""

    def __init__(self, features, rows):
        self.features, self.rows = features, rows

    def select_columns(self, names):
        return Table({n: self.features[n] for n in names}, [{n: row[n] for n in names} for row in self.rows])

    def cast_column(self, name, kind):
        return Table({**self.features, name: kind}, self.rows)

    def __getitem__(self, item):
        assert all(getattr(kind, "decode", False) is False for kind in self.features.values()), "an image was decoded"
        return (
            {n: [row[n] for row in self.rows[item]] for n in self.features}
            if isinstance(item, slice)
            else self.rows[item]
        )


FEATURES = {"pic": Image(), "fine": ClassLabel(["ant", "bee", "cat"]), "source": Value()}
ROWS = [
    {"pic": {"bytes": png(10), "path": None}, "fine": 2, "source": "web"},
    {"pic": {"bytes": png(20), "path": None}, "fine": 0, "source": "zoo"},
    {"pic": {"bytes": b"none", "path": None}, "fine": 2, "source": "web"},
]


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the package; ``hub.table`` is what it loads, ``hub.asked`` how it was asked."""
    stand_in = SimpleNamespace(table=Table(FEATURES, ROWS), asked=[])

    def load_dataset(name, config, split):
        stand_in.asked.append((name, config, split))
        if name != "owner/animals":
            raise FileNotFoundError(f"Couldn't reach {name!r} on the Hub\nand more")
        if split != "train":
            raise ValueError(f"Unknown split {split!r}. Should be one of ['train'].")
        return stand_in.table

    stand_in.load_dataset = load_dataset
    stand_in.get_dataset_split_names = lambda name, config: ["train", "test"]
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    return stand_in


def test_columns_are_found_by_their_types(hub):
    dataset = open_dataset("hf:owner/animals@train?config=small")
    assert hub.asked == [("owner/animals", "small", "train")]
    assert dataset.classes == ("ant", "cat") and dataset.labels.tolist() == [1, 0, 1]  # no image is a bee
    assert list(dataset.ids) == ["train/0", "train/1", "train/2"]
    assert [dataset.image(i).getpixel((0, 0))[0] for i in (0, 1)] == [10, 20]
    with pytest.raises(UnreadableImage):
        dataset.image(2)
    assert dataset.take(np.array([2, 1])).take(np.array([1])).image(0).getpixel((0, 0))[0] == 20


def test_labels_that_are_words_or_numbers(hub):
    dataset = open_dataset("hf:owner/animals@train?label=source")
    assert dataset.classes == ("web", "zoo") and dataset.labels.tolist() == [0, 1, 0]
    hub.table = Table(
        {"pic": Image(), "y": Value()}, [{"pic": row["pic"], "y": y} for row, y in zip(ROWS, (7, 4, 7), strict=True)]
    )
    assert open_dataset("hf:owner/animals@train?label=y").classes == ("class_4", "class_7")
    assert "no label column; say which with ?label=COLUMN; there are pic, y" in refused("hf:owner/animals@train")


def test_columns_that_are_not_there_or_several(hub):
    assert "no column 'fin'; did you mean fine? (one of " in refused("hf:owner/animals@train?label=fin")
    assert "the column 'fine' is no image column; there are pic" in refused("hf:owner/animals@train?image=fine")
    hub.table = Table({**FEATURES, "coarse": ClassLabel(["x"])}, [{**row, "coarse": 0} for row in ROWS])
    assert "several label columns; say which with ?label=COLUMN; there are fine, coarse" in refused(
        "hf:owner/animals@train"
    )
    assert open_dataset("hf:owner/animals@train?label=coarse").classes == ("x",)


def test_missing_labels(hub):
    hub.table = Table(FEATURES, [{**row, "fine": -1} for row in ROWS])
    assert "3 images have no label (-1)" in refused("hf:owner/animals@train")
    for value, kinds in ((None, "NoneType"), ([1], "list"), (1.5, "float"), ("ant", "int, str")):
        hub.table = Table(
            FEATURES, [{**row, "fine": value if i == 0 or value != "ant" else 0} for i, row in enumerate(ROWS)]
        )
        said = refused("hf:owner/animals@train")
        assert f"the column 'fine' is not one label an image, a number or a word; it holds {kinds}" in said


def test_errors_of_the_hub_are_one_line(hub):
    assert refused("hf:nobody/none@train").endswith("datasets cannot load it: Couldn't reach 'nobody/none' on the Hub")
    assert "Unknown split 'val'. Should be one of ['train']." in refused("hf:owner/animals@val")
    said = refused("hf:owner/animals")
    assert "say which split, such as hf:owner/animals@train; there are train, test" in said


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refused("hf:x@train").endswith("run pip install 'transfer-toolkit[hf]'")
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace())  # a folder of that name beside the script
    assert refused("hf:x@train").endswith("run pip install 'transfer-toolkit[hf]'")


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    package = pytest.importorskip("datasets", reason="the extra hf is not installed")
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return package


def test_the_real_package(datasets, tmp_path):
    kind = datasets.Features({"pic": datasets.Image(), "fine": datasets.ClassLabel(names=["ant", "bee", "cat"])})
    content = {"pic": [row["pic"] for row in ROWS], "fine": [2, 0, 2]}
    table = datasets.Dataset.from_dict(content, features=kind)
    (tmp_path / "parquet").mkdir()
    table.to_parquet(tmp_path / "parquet" / "train.parquet")
    datasets.DatasetDict({"train": table}).save_to_disk(tmp_path / "saved")
    table.save_to_disk(tmp_path / "alone")
    prints = set()
    for name in ("parquet", "saved", "alone"):
        dataset = open_dataset(f"hf:{tmp_path / name}@train")
        assert dataset.classes == ("ant", "cat") and dataset.labels.tolist() == [1, 0, 1]  # no image is a bee
        assert [dataset.image(i).getpixel((0, 0))[0] for i in (0, 1)] == [10, 20]
        with pytest.raises(UnreadableImage):
            dataset.image(2)
        prints.add(dataset.manifest_sha256)
        said = refused(f"hf:{tmp_path / name}@tran")
        assert "nknown split" in said and "train" in said
        assert f"such as hf:{tmp_path / name}@train" in refused(f"hf:{tmp_path / name}")
    assert len(prints) == 1
    assert len(open_dataset(f"hf:{tmp_path / 'parquet'}@train[:2]")) == 2
    assert "datasets cannot load it" in refused(f"hf:{tmp_path / 'none'}@train")


def test_the_real_package_on_files(datasets, tmp_path):
    for i, name in enumerate(("ant", "bee")):
        (tmp_path / "data" / "train" / name).mkdir(parents=True)
        (tmp_path / "data" / "train" / name / "1.png").write_bytes(png(10 * i))
    dataset = open_dataset(f"hf:{tmp_path / 'data'}@train")
    assert dataset.classes == ("ant", "bee") and dataset.image(1).getpixel((0, 0))[0] == 10
    before = dataset.manifest_sha256
    (tmp_path / "data" / "train" / "ant" / "1.png").write_bytes(png(0) + b"more")
    assert open_dataset(f"hf:{tmp_path / 'data'}@train").manifest_sha256 != before
