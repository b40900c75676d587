"""A path in place of a dataset spec."""

import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from features.bank import FeatureBank
from features.checkpoint import save_checkpoint
from features.dataset_spec import DatasetSpec
from features.extraction.shard import SCHEMA as SHARD
from features.infrastructure.errors import InputError
from features.infrastructure.hdf5.opening import atomic_hdf5
from features.preprocessing import Preprocessing
from features.readers import open_dataset
from features.readers.plain_paths import labelled_spec, spec_of
from similarity import Subset, SubsetRow


def test_a_spec_stays_as_it_is():
    assert spec_of("folder:DIR@train?names=x.txt") == DatasetSpec.parse("folder:DIR@train?names=x.txt")
    assert spec_of("digits:").scheme == "digits"


@pytest.mark.parametrize("name", ["lake", "lake/top.webp"])
def test_a_path_is_images_without_labels(lake, name, monkeypatch):
    monkeypatch.chdir(lake.parent)
    assert spec_of(name) == DatasetSpec("images", name)
    assert str(spec_of(f"{lake}/")) == f"images:{lake}"


@pytest.mark.parametrize("name", ["a@b", "a?b=1", "my:lake", "~"])
def test_signs_of_a_spec_in_a_path(lake, name, monkeypatch):
    monkeypatch.chdir(lake.parent)
    monkeypatch.setenv("HOME", str(lake))
    lake.rename(lake.parent / name)
    monkeypatch.setenv("HOME", str(lake.parent / name))
    assert len(open_dataset(spec_of(name))) == 6


def test_a_scheme_goes_before_a_path_of_that_name(lake, monkeypatch):
    monkeypatch.chdir(lake.parent)
    lake.rename(lake.parent / "digits:")
    assert len(open_dataset(spec_of("digits:"))) == 1797


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^`images` .*none: no such file or folder; expected a folder of images, an"):
        spec_of(str(tmp_path / "none"))
    with pytest.raises(InputError, match="unknown scheme 'foldr'; did you mean folder"):
        open_dataset(spec_of("foldr:x"))


# Paths where a spec of labelled images is expected

#: File → what makes it recognised beside its name.
CONTENT = {"train.json": '{"info": {"year": 2021}, "images": []}', "clusters.csv": "id,cluster\n"}


@pytest.mark.parametrize(
    ("files", "given", "spec"),
    [
        (["a/1.jpg", "b/2.jpg"], "photos", "folder:photos"),
        (["a/1.jpg", "b/2.jpg"], "photos/", "folder:photos"),
        (["train/a/1.jpg", "test/a/2.jpg"], "photos", "folder:photos@train"),
        (["train/a/1.jpg", "test/a/2.jpg"], "photos@test", "folder:photos@test"),
        (["train/a/1.jpg", "test/a/2.jpg"], "photos?per_class=2", "'folder:photos@train?per_class=2'"),
        (["1.jpg", "2.jpg"], "photos", "images:photos"),
        (["images.txt", "image_class_labels.txt", "images/a/1.jpg"], "photos", "cub:photos@train"),
        (["images.txt", "image_class_labels.txt", "hierarchy.txt"], "photos", "nabirds:photos@train"),
        (["train_list.mat", "Images/a/1.jpg"], "photos", "dogs:photos@train"),
        (["devkit/cars_meta.mat", "cars_train/1.jpg"], "photos", "cars:photos@train"),
        (["labels.csv"], "photos/labels.csv", "csv:photos/labels.csv"),
        (["train.json"], "photos/train.json", "inat:photos/train.json"),
        (["clusters.csv"], "photos/clusters.csv", "clusters:photos/clusters.csv"),
        (["train.txt"], "photos/train.txt", "list:photos/train.txt"),
        (["rows.npz"], "photos/rows.npz", "features:photos/rows.npz"),
        (["1.jpg"], "photos/1.jpg", "images:photos/1.jpg"),
        (["my birds/train/a/1.jpg"], "photos/my birds", "'folder:photos/my birds@train'"),
    ],
)
def test_a_path_is_answered_with_its_spec(tmp_path, monkeypatch, files, given, spec):
    monkeypatch.chdir(tmp_path)
    for name in files:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONTENT.get(path.name, ""))
    with pytest.raises(InputError) as error:
        open_dataset(given)
    assert str(error.value) == f"dataset spec {given!r} has no scheme: for this path, type {spec}"
    (typed,) = shlex.split(spec)
    assert labelled_spec(typed) == DatasetSpec.parse(typed)


@pytest.mark.parametrize("given", ["nowhere", "odd.xyz", "card.json"])
def test_what_is_no_dataset_is_told_the_form(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.xyz").touch()
    (tmp_path / "card.json").write_text('{"images": 10, "classes": ["owl"]}')  # as of a checkpoint
    with pytest.raises(InputError, match="has no scheme: expected scheme:location"):
        labelled_spec(given)


def test_what_is_there_instead_of_a_dataset_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ones = np.ones((2, 3), dtype=np.float32)
    about = {"dataset": "folder:photos@train", "backbone": "b"}
    FeatureBank(("a", "b"), np.array([1, 2]), ones, ones, np.eye(3, dtype=np.float32), about).write(Path("photos.h5"))
    with atomic_hdf5(Path("part.h5"), {"schema": SHARD}):
        pass
    card = {"backbone": "resnet8", "classes": ["a"], "preprocessing": Preprocessing(image_size=8, resize=8).to_json()}
    Path("run/checkpoints").mkdir(parents=True)
    save_checkpoint(Path("run/checkpoints/last.safetensors"), {"head.bias": torch.zeros(1)}, card)
    Subset((SubsetRow("folder:x", "owl", 3, 1, 0.5, ("t",)),)).write("subset.csv")
    for given, message in {
        "photos.h5": "is a feature bank; give it to transfer rank, select, cluster or duplicates, or its dataset, "
        "folder:photos@train",
        "part.h5": "is a shard of a feature bank; give it to transfer merge",
        "run": "is a trained model; give the dataset that it is to be used on",
        "run/checkpoints/last.safetensors": "is a trained model; give the dataset that it is to be used on",
        "subset.csv": "is a subset file; give it to transfer pretrain, as `subset`",
    }.items():
        with pytest.raises(InputError) as error:
            open_dataset(given)
        assert str(error.value) == f"{given}: expected a dataset, and this {message}"


def test_features_in_the_formats_of_banks_and_checkpoints_are_datasets(tmp_path):
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["feature"] = np.ones((2, 3), dtype=np.float32)
    save_file({"feature": np.ones((2, 3), dtype=np.float32)}, tmp_path / "rows.safetensors")
    for name in ("rows.h5", "rows.safetensors"):
        with pytest.raises(InputError, match=rf"for this path, type features:.*{name}"):
            open_dataset(str(tmp_path / name))
