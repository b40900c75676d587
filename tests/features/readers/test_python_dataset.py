"""Datasets that only Python has, as the toolkit sees them: classes, labels, ids, images and what they are known by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pictures import CLASSES, COLOURS, PER_CLASS, TRANSFORM, Pictures, draw
from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder

from features import ImageDataset, InputError, open_dataset
from features.readers.python_dataset import PythonDataset


def opened(dataset: Any, **said: Any) -> ImageDataset:
    found = PythonDataset(dataset, **{"name": "own", "classes": CLASSES, "workers": 0, **said})
    assert found.shape is None
    return found.images()


def tensors(dataset: Any) -> tuple[ImageDataset, Any]:
    """A dataset whose items are tensors of floats, and their shape."""
    found = PythonDataset(dataset, name="own", workers=0)
    return found.images(), found.shape


def refused(dataset: Any, **said: Any) -> str:
    with pytest.raises(InputError) as refusal:
        opened(dataset, **said)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.fixture
def folder(tmp_path):
    for name in COLOURS:
        (tmp_path / name).mkdir()
        for i in range(PER_CLASS):
            draw(name, i).save(tmp_path / name / f"{i}.png")
    return tmp_path


FORMS = {
    "images": lambda image, label: (image, label),
    "arrays": lambda image, label: (np.array(image), np.int64(label)),
    "tensors of bytes": lambda image, label: (torch.from_numpy(np.array(image)).permute(2, 0, 1), torch.tensor(label)),
    "three values": lambda image, label: [image, label, "a note"],
    "labels in arrays": lambda image, label: (image, np.array([label])),
    "dicts": lambda image, label: {"size": 0.5, "img": image, "target": label},
    "words": lambda image, label: (image, CLASSES[label]),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_items_of_any_form_are_the_same_dataset(form):
    dataset, plain = opened(Pictures(form)), opened(Pictures())
    assert (dataset.spec, dataset.classes, len(dataset)) == ("python:own", CLASSES, 24)
    assert dataset.labels.tolist() == np.repeat(range(3), PER_CLASS).tolist()
    assert dataset.manifest_sha256 == plain.manifest_sha256
    assert np.array_equal(np.asarray(dataset.image(9)), np.asarray(draw("brick", 1)))
    assert np.array_equal(np.asarray(dataset.take([9, 3]).image(1)), np.asarray(draw("azure", 3)))


def test_grey_arrays_become_rgb():
    dataset = opened([(np.full((5, 4), 7, np.uint8), 0), (np.full((5, 4, 1), 9, np.uint8), 1)], classes=["a", "b"])
    assert [np.unique(dataset.image(i)).tolist() for i in range(2)] == [[7], [9]]


def test_tensors_of_floats_are_kept():
    pixels = torch.rand(6, 3, 5, 4)
    dataset, shape = tensors(TensorDataset(pixels, torch.arange(6) % 2))
    assert shape == (3, 5, 4) and dataset.counts.tolist() == [3, 3]
    assert torch.equal(dataset.source.read(4), pixels[4])
    changed = tensors(TensorDataset(pixels + 1e-7, torch.arange(6) % 2))[0]
    assert dataset.manifest_sha256 != changed.manifest_sha256


def test_keys_can_be_chosen():
    twins = Pictures(lambda image, label: {"a": image, "b": image.rotate(90), "y": label, "z": label})
    dataset = opened(twins, image="b", label="z")
    assert np.array_equal(np.asarray(dataset.image(0)), np.asarray(draw("azure", 0).rotate(90)))


def test_labels_may_be_given_beside_the_items():
    dataset = opened(Pictures(lambda image, _: image), labels=torch.arange(24) % 3)
    assert dataset.labels.tolist() == [0, 1, 2] * 8
    words = opened(Pictures(), labels=["x", "y"] * 12, classes=None)
    assert words.classes == ("x", "y") and words.counts.tolist() == [12, 12]


def test_classes_without_a_name_are_numbered():
    dataset = opened(Pictures(lambda image, label: (image, 10 * label)), classes=None)
    assert dataset.classes == ("class_0", "class_10", "class_20")


def test_a_part_has_the_class_names_of_the_whole(capsys):
    whole = Pictures()
    whole.classes = list(CLASSES)
    dataset = opened(Subset(whole, [0, 1, 16, 17]), classes=None)
    assert dataset.classes == ("azure", "coal") and dataset.counts.tolist() == [2, 2]
    assert "python:own: 1 of 3 classes have no image and are left out: 'brick'" in capsys.readouterr().err
    assert opened(ConcatDataset([whole, whole])).counts.tolist() == [16, 16, 16]


def test_an_item_that_cannot_be_read_has_no_label_and_is_not_read_again():
    class Flaky(Pictures):
        def __getitem__(self, index: int) -> Any:
            if index == 9 and not self.tried:
                self.tried = True
                raise OSError("the disk is old")
            return super().__getitem__(index)

    pictures = Flaky()
    pictures.tried = False
    dataset = opened(pictures)
    with pytest.raises(Exception, match="OSError: the disk is old"):
        dataset.image(9)
    assert dataset.image(8).size == draw("brick", 0).size


def test_files_of_torchvision_are_known_without_decoding(folder, monkeypatch):
    whole = ImageFolder(str(folder))
    monkeypatch.setattr(ImageFolder, "__getitem__", lambda *_: pytest.fail("an item was read"))
    dataset = opened(Subset(whole, [20, 1, 0]), classes=None)
    assert dataset.classes == ("azure", "coal") and list(dataset.ids) == ["coal/4.png", "azure/1.png", "azure/0.png"]
    assert np.array_equal(np.asarray(dataset.image(0)), np.asarray(draw("coal", 4)))
    by_name = open_dataset(f"folder:{folder}")
    assert opened(whole, classes=None).manifest_sha256 == by_name.manifest_sha256
    assert opened(whole, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    assert "`classes`: 2 names, and the dataset has 3 classes" in refused(whole, classes=["a", "b"])


def test_a_folder_of_relative_paths(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    dataset = opened(ImageFolder(folder.name), classes=None)
    assert dataset.ids[0] == "azure/0.png"
    monkeypatch.chdir(folder)
    assert dataset.image(0).size == draw("azure", 0).size


def test_files_of_torchvision_with_a_transform_are_read_through_it(folder):
    dataset, shape = tensors(ImageFolder(str(folder), TRANSFORM))
    assert shape == (3, 24, 20) and dataset.classes == CLASSES
    assert torch.equal(dataset.source.read(9), TRANSFORM(draw("brick", 1)))


def test_a_dataset_of_hugging_face():
    datasets = pytest.importorskip("datasets")
    columns = {"pic": [image for image, _ in Pictures()], "kind": [label for _, label in Pictures()]}
    features = datasets.Features({"pic": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))})
    table = datasets.Dataset.from_dict(columns, features=features)
    dataset = opened(table, classes=None)
    assert dataset.classes == CLASSES and dataset.labels.tolist() == columns["kind"]
    assert np.array_equal(np.asarray(dataset.image(9)), np.asarray(draw("brick", 1)))
    assert opened(table.with_format("torch"), classes=None).manifest_sha256 == dataset.manifest_sha256
    part = opened(table.select([20, 3]), classes=None)
    assert (
        part.classes == ("azure", "coal")
        and np.asarray(part.image(1)).tolist() == np.asarray(draw("azure", 3)).tolist()
    )
    through, shape = tensors(table.with_transform(TRANSFORM))
    assert shape == (3, 24, 20) and torch.equal(through.source.read(9), TRANSFORM(draw("brick", 1)))
    assert "`dataset`: holds several, train; give one of them" in refused(datasets.DatasetDict(train=table))
    assert "no label column; say which with `label`; there are pic" in refused(table.remove_columns("kind"))
    twice = table.add_column("other", columns["kind"]).cast_column("other", features["kind"])
    assert "several label columns; say which with `label`; there are kind, other" in refused(twice)
    assert opened(twice, label="other", classes=None).labels.tolist() == columns["kind"]


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(Pictures())


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a stream": (Stream(), {}, "`dataset`: a Stream has no length and no positions; give a map-style dataset"),
    "no dataset": (3, {}, "`dataset`: a int has no length"),
    "empty": ([], {}, "dataset spec 'python:own': has no item"),
    "several": ({"train": Pictures()}, {}, "`dataset`: holds several, train; give one of them"),
    "no label": (Pictures(lambda image, _: image), {}, "the first is an item without a label; give `labels`"),
    "two pictures": (
        Pictures(lambda image, label: {"a": image, "b": image, "y": label}),
        {},
        "the items of the dataset have the keys a, b, y; a, b may each be the image: give `image`",
    ),
    "no picture": (
        Pictures(lambda image, label: {"a": "a.png", "y": label}),
        {},
        "the items of the dataset have the keys a, y; none looks like the image: give `image`",
    ),
    "no such key": (
        Pictures(lambda image, label: {"a": image, "y": label}),
        {"label": "z"},
        "`label` z: the items of the dataset have no such key; they have a, y",
    ),
    "keys of tuples": (Pictures(), {"image": "a"}, "`image` and `label`: are keys of items that are dicts"),
    "floats in arrays": (
        Pictures(lambda image, label: (np.asarray(image) / 255, label)),
        {},
        "none of the first 24 items of the dataset can be read; the first is an array (36, 40, 3) of float64; expected",
    ),
    "paths": (Pictures(lambda _, label: ("a.png", label)), {}, "a str; expected a Pillow image, an array or a tensor"),
    "soft labels": (Pictures(lambda image, _: (image, [0.5, 0.5])), {}, "a label that is a list; expected"),
    "half a label": (Pictures(lambda image, _: (image, torch.tensor(0.5))), {}, "the label 0.5; expected a whole"),
    "words and numbers": (
        Pictures(lambda image, label: (image, label or "azure")),
        {},
        "its labels are both numbers and words; expected a whole number, or a word, for each item",
    ),
    "labels of floats": (Pictures(), {"labels": np.zeros(24)}, "its labels are float64 of shape (24,); expected"),
    "too few labels": (Pictures(), {"labels": [0, 1]}, "`labels`: 2, and the dataset has 24 items; give one an item"),
    "no label at all": (Pictures(lambda image, _: (image, -1)), {}, "labels run from -1 to -1"),
    "too few classes": (Pictures(), {"classes": ["a", "b"]}, "labels run from 0 to 2, but there are 2 classes"),
    "another word": (Pictures(FORMS["words"]), {"classes": ["azure", "coal"]}, "`classes`: lack the label 'brick'"),
    "a spec": ("digits:@train", {"labels": [0]}, "`classes`: a dataset spec has its own; leave it out"),
}


@pytest.mark.parametrize(("dataset", "said", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_such_dataset_is_told_in_one_line(dataset, said, message):
    assert message in refused(dataset, **said)


def test_a_command_cannot_open_such_a_dataset():
    with pytest.raises(InputError, match="'python:own': was given in Python, to extract_features"):
        open_dataset("python:own")
