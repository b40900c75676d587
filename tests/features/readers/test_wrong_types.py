"""Readers are fed wrong types everywhere: a dataset or one line, never a traceback."""

from __future__ import annotations

import copy
import io
import json
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from features.image_sources import UnreadableImage
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from similarity import Subset

#: What may stand in a file of JSON instead of what is meant.
VALUES = [None, 1, -1, 1.5, float("nan"), 10**30, "x", "", [], [1], {}, {"a": 1}, True, "\0", "a\nb", "../x"]
ARRAYS = [
    np.zeros((0, 0)), np.array([[1.0]]), np.array([["a", "b"]], dtype=object), np.array([[np.nan, 1]]), "x",
    np.array([[1 + 2j, 1]]), {"a": 1}, np.array([[[1]], [[2]]]), np.array([[-1.0], [2.5]]), np.array([[1e300], [1]]),
]  # fmt: skip
LINES = ["a.png 0\0", "\0 0", "a 0 1", "a\t0", "a: 0", "  0", "a.png ٣", "a.png ²", "a.png 0x1", "a.png +1", "a.png 00"]


def fed(spec):
    """Open a dataset and use all of it; whether it was refused in one line."""
    try:
        dataset = open_dataset(spec)
        assert dataset.counts.all() and dataset.manifest_sha256
        for i in range(len(dataset)):
            try:
                dataset.image(i)
            except UnreadableImage:
                continue
    except InputError as error:
        assert "\n" not in str(error)
        return True
    return False


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_json(value, tmp_path):
    path = tmp_path / "a.json"
    good = {
        "images": [{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}],
        "annotations": [{"image_id": 0, "category_id": 0}, {"image_id": 1, "category_id": 1}],
        "categories": [{"id": 0, "name": "a", "supercategory": "s"}, {"id": 1, "name": "a", "supercategory": "s"}],
    }

    def refused(content):
        path.write_text(json.dumps(content))
        return fed(f"inat:{path}")

    assert not refused(good) and refused(value)
    for name, entries in good.items():
        assert refused(good | {name: value})
        content = copy.deepcopy(good)
        content[name][0] = value
        assert refused(content)
        for field in entries[0]:
            content = copy.deepcopy(good)
            content[name][0][field] = value
            if isinstance(value, (list, dict, float)) and field != "supercategory":
                assert refused(content)
            else:
                refused(content)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_labels_in_shards(value, tmp_path):
    for label in (json.dumps({"label": value}), json.dumps(value)):
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            for name, content in (("a.png", b"x"), ("a.json", label.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        fed(f"wds:{tmp_path / 's.tar'}")


@pytest.mark.parametrize("line", LINES, ids=repr)
def test_lines(line, tmp_path):
    (tmp_path / "list.txt").write_text(f"{line}\nb.png 1\n")
    fed(f"list:{tmp_path / 'list.txt'}")
    (tmp_path / "images").mkdir()
    good = {
        "images.txt": "1 a.png\n2 b.png\n",
        "image_class_labels.txt": "1 1\n2 2\n",
        "classes.txt": "1 a\n2 b\n",
        "train_test_split.txt": "1 1\n2 0\n",
    }
    for name in good:
        for other, text in good.items():
            (tmp_path / other).write_text(f"{line}\n2 2\n" if other == name else text)
        fed(f"cub:{tmp_path}@train")


@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_matlab_files(array, tmp_path):
    def rows(first):
        found = np.zeros((1, 2), dtype=[("class", object), ("fname", object)])
        found[0, 0], found[0, 1] = first, (2, "b.jpg")
        return found

    files, names = np.array([["n/a.jpg"], ["m/b.jpg"]], dtype=object), np.array([["A", "B"]], dtype=object)
    (tmp_path / "Images").mkdir()
    (tmp_path / "cars_train").mkdir()
    for content in ({"file_list": files, "labels": array}, {"file_list": array, "labels": np.array([[1.0], [2.0]])}):
        savemat(tmp_path / "train_list.mat", content)
        fed(f"dogs:{tmp_path}@train")
    for meta, listed in (
        (array, rows((1, "a.jpg"))),
        (names, array),
        (names, rows((array, "a.jpg"))),
        (names, rows((1, array))),
    ):
        savemat(tmp_path / "cars_meta.mat", {"class_names": meta})
        savemat(tmp_path / "cars_train_annos.mat", {"annotations": listed})
        fed(f"cars:{tmp_path}@train")


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "nan", "inf", "1e400", "٣", "\0", " "], ids=repr)
def test_subset_files(value, tmp_path):
    header, row = (
        ["source", "class", "count", "rank", "distance", "weight", "targets"],
        ["folder:x", "a", "3", "1", "0.5", "0.2", "t"],
    )
    heads = ("", "# {}\n", "# 5\n", '# {"targets": 3}\n', "# [1]\n", '# {"a": \n')
    for i in range(len(row)):
        changed = [value if i == j else word for j, word in enumerate(row)]
        less = [[word for j, word in enumerate(words) if i != j] for words in (header, row)]
        for head in heads:
            for names, values in ((header, changed), (changed, row), tuple(less)):
                (tmp_path / "s.csv").write_text(f"{head}{','.join(names)}\n{','.join(values)}\n")
                try:
                    Subset.read(tmp_path / "s.csv").to_json()
                except InputError as error:
                    assert "\n" not in str(error)
