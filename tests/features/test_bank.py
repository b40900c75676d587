"""The feature bank: its file, what it refuses, and when two of them can be compared."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from features.bank import COMPARABLE, FeatureBank
from features.infrastructure.errors import InputError

ATTRS = {
    "dataset": "folder:birds@train",
    "split": "train",
    "backbone": "resnet50",
    "weights_sha256": "ab" * 32,
    "image_size": 224,
    "transform": "pillow-bilinear resize 256 crop 224",
    "pooling": "avg",
    "precision": "fp32",
    "manifest_sha256": "cd" * 32,
    "created": "2024-01-01T00:00:00+00:00",
}
SKIPPED = (("a/bad.jpg", "the file is empty"), ("b/worse.jpg", "No such file or directory"))


def parts(n_classes=3, width=4, **changes):
    rng = np.random.default_rng(0)
    fields = {
        "classes": ("auk", "bee eater", "überfliegender Kolkrabe")[:n_classes],
        "counts": np.arange(1, n_classes + 1) * 7,
        "means": rng.normal(size=(n_classes, width)).astype(np.float32),
        "variances": rng.random((n_classes, width)).astype(np.float32),
        "within_covariance": np.eye(width, dtype=np.float32) + 0.25,
        "attrs": ATTRS,
        "skipped": SKIPPED,
    }
    return fields | changes


def images(width=4):
    features = np.random.default_rng(1).normal(size=(5, width)).astype(np.float32)
    return features, np.array([0, 1, 2, 1, 0]), [f"im/{i}.jpg" for i in range(5)]


def refused(do, *arguments, **options):
    with pytest.raises(InputError) as caught:
        do(*arguments, **options)
    return str(caught.value)


def test_what_is_written_is_read_back(tmp_path):
    bank = FeatureBank(**parts())
    back = bank.write(tmp_path / "new" / "folder" / "bank.h5")
    assert back.path == tmp_path / "new" / "folder" / "bank.h5"
    assert back.classes == bank.classes and back.skipped == SKIPPED
    for name in ("counts", "means", "variances", "within_covariance"):
        np.testing.assert_array_equal(getattr(back, name), getattr(bank, name))
        assert getattr(back, name).dtype == (np.int64 if name == "counts" else np.float32)
    assert {name: back.attrs[name] for name in ATTRS} == ATTRS
    assert not back.keeps_images and not bank.keeps_images
    assert "`keep_images`" in refused(back.images)


def test_the_file_is_plain_hdf5_at_the_promised_paths(tmp_path):
    bank = FeatureBank(**parts(attrs=ATTRS | {"split": None}))
    bank.write(tmp_path / "bank.h5", images())
    with h5py.File(tmp_path / "bank.h5") as file:
        paths = []
        file.visititems(lambda path, item: paths.append(path) if isinstance(item, h5py.Dataset) else None)
        assert sorted(paths) == [
            *("class/count", "class/mean", "class/name", "class/variance"),
            *("image/feature", "image/id", "image/label", "skipped/id", "skipped/reason", "within/covariance"),
        ]
        assert file.attrs["schema"].decode() == "transfer.feature-bank" and file.attrs["schema_version"] == 1
        assert bool(file.attrs["complete"]) is True and file.attrs["split"].decode() == ""
        assert file.attrs["dataset"].decode() == "folder:birds@train" and file.attrs["image_size"] == 224
        assert set(ATTRS) <= set(file.attrs)
        for path in ("class/mean", "class/variance", "within/covariance", "image/feature"):
            assert file[path].dtype == np.float32 and file[path].compression is None
        assert file["class/count"].dtype == file["image/label"].dtype == np.int64
        for path in ("class/name", "skipped/id", "skipped/reason", "image/id"):
            assert h5py.check_string_dtype(file[path].dtype).encoding == "utf-8"
        assert list(file["class/name"].asstr()) == list(bank.classes)
        np.testing.assert_array_equal(file["class/mean"][:], bank.means)
        np.testing.assert_array_equal(file["image/feature"][:], images()[0])
        assert file["class/mean"].shape == (3, 4) and file["within/covariance"].shape == (4, 4)


def test_images_are_kept_when_asked_for(tmp_path):
    features, labels, ids = images()
    for dtype in (np.float32, np.float16):
        bank = FeatureBank(**parts()).write(tmp_path / "bank.h5", (features.astype(dtype), labels, ids))
        assert bank.keeps_images
        found = bank.images()
        np.testing.assert_array_equal(found[0], features.astype(dtype))
        assert found[0].dtype == dtype and found[1].tolist() == labels.tolist() and found[2] == ids


def test_images_follow_the_classes_that_are_left(tmp_path):
    features, labels, ids = images()
    bank = FeatureBank(**parts(counts=np.array([5, 50, 60]))).write(tmp_path / "bank.h5", images())
    few = bank.at_least(50)
    assert few.classes == bank.classes[1:]
    found = few.images()
    kept = labels >= 1
    np.testing.assert_array_equal(found[0], features[kept])
    assert [few.classes[label] for label in found[1]] == [bank.classes[label] for label in labels[kept]]
    assert found[2] == [id_ for id_, keep in zip(ids, kept, strict=True) if keep]


@pytest.mark.parametrize("change", [(slice(4), slice(None)), (slice(None), slice(3))])
def test_images_that_do_not_fit_are_refused_before_a_file_is_made(tmp_path, change):
    features, labels, ids = images()
    with pytest.raises(ValueError, match=r"images must be features \(N, 4\), N labels and N ids"):
        FeatureBank(**parts()).write(tmp_path / "bank.h5", (features[change], labels, ids))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_utf8_survive(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    bank = FeatureBank(
        **parts(classes=("a", "b", name), skipped=((f"{name}.jpg", "bad"),), attrs={"dataset": f"folder:{name}"})
    ).write(tmp_path / "bank.h5", (*images()[:2], [name] * 5))
    assert bank.classes[2] == "caf\\xe9" and bank.skipped == ((f"{name}.jpg", "bad"),)
    assert bank.name == f"folder:{name}" and bank.images()[2] == [name] * 5


def test_a_bank_can_be_replaced(tmp_path):
    first = FeatureBank(**parts()).write(tmp_path / "bank.h5", images())
    second = FeatureBank(**parts(n_classes=2)).write(tmp_path / "bank.h5")
    assert first.classes[:2] == second.classes and not FeatureBank.open(tmp_path / "bank.h5").keeps_images
    assert [path.name for path in tmp_path.iterdir()] == ["bank.h5"]


@pytest.mark.parametrize("standing", [False, True])
@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_nothing_behind(tmp_path, monkeypatch, standing, error):
    path = tmp_path / "bank.h5"
    before = FeatureBank(**parts(n_classes=2)).write(path) if standing else None
    create = h5py.Group.create_dataset

    def break_off(group, name, *arguments, **options):
        assert not path.exists() or standing
        if name == "skipped/reason":  # the means are written by then
            raise error
        return create(group, name, *arguments, **options)

    monkeypatch.setattr(h5py.Group, "create_dataset", break_off)
    with pytest.raises(type(error)):
        FeatureBank(**parts()).write(path)
    monkeypatch.undo()
    if before is None:
        assert list(tmp_path.iterdir()) == []
    else:
        assert list(tmp_path.iterdir()) == [path] and FeatureBank.open(path).classes == before.classes


def test_the_name_appears_when_the_file_is_whole(tmp_path, monkeypatch):
    path, replace, seen = tmp_path / "bank.h5", os.replace, []

    def watch(aside, final):
        assert not path.exists()
        seen.append(FeatureBank.open(aside).classes)  # closed, complete, readable
        replace(aside, final)

    monkeypatch.setattr(os, "replace", watch)
    assert FeatureBank(**parts()).write(path).classes == seen[0]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"means": np.full((3, 4), np.nan, np.float32)}, "means holds NaN or infinity"),
        ({"variances": np.full((3, 4), np.inf, np.float32)}, "variances holds NaN or infinity"),
        ({"within_covariance": np.full((4, 4), -np.inf, np.float32)}, "within_covariance holds NaN or infinity"),
        ({"variances": np.full((3, 4), -1e-3, np.float32)}, "variances holds a negative value"),
        ({"counts": np.array([3, 0, 1])}, "class 'bee eater' has count 0; every count must be positive"),
        ({"counts": np.array([3, 1, -4])}, "class 'überfliegender Kolkrabe' has count -4"),
        ({"counts": np.array([3, 1])}, "counts has shape (2,), expected (3,)"),
        ({"means": np.zeros((2, 4), np.float32)}, "means has shape (2, 4), expected (3, 4)"),
        ({"means": np.zeros(4, np.float32)}, "means has shape (4,), expected (3, 4)"),
        ({"means": np.float32(1.0)}, "means has shape (), expected"),
        ({"variances": np.zeros((3, 5), np.float32)}, "variances has shape (3, 5), expected (3, 4)"),
        ({"within_covariance": np.zeros((4, 3), np.float32)}, "within_covariance has shape (4, 3), expected (4, 4)"),
        ({"classes": ("a", "b", "a")}, "the class name 'a' occurs twice"),
        (
            {"classes": (), "counts": np.zeros(0, int), "means": np.zeros((0, 4)), "variances": np.zeros((0, 4))},
            "the bank has no class",
        ),
    ],
)
def test_statistics_that_cannot_be_are_refused(changes, complaint):
    message = refused(FeatureBank, **parts(**changes))
    assert message.startswith("folder:birds@train: ") and complaint in message


def test_a_file_with_such_statistics_is_named(tmp_path):
    path = tmp_path / "bank.h5"
    FeatureBank(**parts()).write(path)
    with h5py.File(path, "a") as file:
        file["class/mean"][1, 2] = np.nan
    assert refused(FeatureBank.open, path) == f"{path}: means holds NaN or infinity; extract the bank again"


def damaged(path: Path, how: str) -> None:
    if how == "text":
        path.write_text("class,mean\n")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    else:
        with h5py.File(path, "a") as file:
            match how:
                case "no mean":
                    del file["class/mean"]
                case "names are numbers":
                    del file["class/name"]
                    file["class/name"] = [1, 2, 3]
                case "mean is a group":
                    del file["class/mean"]
                    file.create_group("class/mean")
                case "one count":
                    del file["class/count"]
                    file["class/count"] = 5
                case "skipped without a reason":
                    del file["skipped/reason"]
                    file.create_dataset("skipped/reason", data=["x"], dtype=h5py.string_dtype())
                case "other schema":
                    file.attrs["schema"] = "keras"
                case "no schema":
                    del file.attrs["schema"]
                case "newer":
                    file.attrs["schema_version"] = 2
                case "incomplete":
                    file.attrs["complete"] = False
                case "never completed":
                    del file.attrs["complete"]


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        *((how, "not a readable feature bank (it is not an HDF5 file)") for how in ("text", "empty")),
        *((how, "not a readable feature bank") for how in ("truncated", "no mean")),
        *((how, "not a readable feature bank") for how in ("names are numbers", "mean is a group", "one count")),
        ("skipped without a reason", "not a readable feature bank"),
        ("other schema", "an HDF5 file, but not a feature bank (schema is 'keras')"),
        ("no schema", "an HDF5 file, but not a feature bank (schema is None)"),
        ("newer", "schema version 2, and this release reads version 1; extract it again, or install a newer release"),
        ("incomplete", "a feature bank that is not complete; extract it again"),
        ("never completed", "a feature bank that is not complete; extract it again"),
    ],
)
def test_a_file_that_is_no_bank_is_refused_in_one_line(tmp_path, how, complaint):
    path = tmp_path / "bank.h5"
    FeatureBank(**parts()).write(path)
    damaged(path, how)
    message = refused(FeatureBank.open, path)
    assert complaint in message and message.startswith(str(path)) and "\n" not in message


@pytest.mark.parametrize("name", ["absent.h5", ""])
def test_a_path_without_a_file_says_how_to_make_one(tmp_path, name):
    assert "no such feature bank; make one with: transfer extract" in refused(FeatureBank.open, tmp_path / name)


def test_banks_are_comparable_when_the_features_live_in_one_space(tmp_path):
    mine = FeatureBank(**parts()).write(tmp_path / "mine.h5")
    for name in ATTRS:
        attrs = ATTRS | {name: "other"}
        theirs = FeatureBank(**parts(n_classes=2, attrs=attrs)).write(tmp_path / "theirs.h5")
        if name in COMPARABLE:
            message = refused(mine.require_comparable, theirs)
            assert f"cannot be compared: {name} is {ATTRS[name]!r} in one and 'other' in the other" in message
            assert str(mine.path) in message and str(theirs.path) in message
        else:
            mine.require_comparable(theirs)
    assert set(COMPARABLE) == {"backbone", "weights_sha256", "transform", "pooling"}


def test_at_least_keeps_the_classes_with_enough_images():
    bank = FeatureBank(**parts(counts=np.array([20, 3, 21])))
    kept = bank.at_least(20)
    assert kept.classes == (bank.classes[0], bank.classes[2]) and kept.counts.tolist() == [20, 21]
    np.testing.assert_array_equal(kept.means, bank.means[[0, 2]])
    np.testing.assert_array_equal(kept.variances, bank.variances[[0, 2]])
    assert kept.attrs == bank.attrs and kept.within_covariance is bank.within_covariance
    assert bank.at_least(0).classes == bank.classes
    assert "no class has 22 images (the largest has 21)" in refused(bank.at_least, 22)


def test_a_bank_is_called_by_its_dataset_then_its_file(tmp_path):
    assert FeatureBank(**parts()).name == "folder:birds@train"
    nameless = FeatureBank(**parts(attrs={}))
    assert nameless.name == "feature bank"
    assert nameless.write(tmp_path / "bank.h5").name == str(tmp_path / "bank.h5")


@pytest.mark.parametrize("place", ["memory", "web"])
def test_a_bank_at_an_address_is_the_one_on_the_disk(place, tmp_path, memory, web):
    images = np.arange(8, dtype=np.float32).reshape(2, 4), np.array([0, 2]), ["a", "b"]
    here = FeatureBank(**parts()).write(web.root / "bank.h5", images)
    if place == "memory":
        there = FeatureBank(**parts()).write(f"{memory}/banks/bank.h5", images)
    else:
        there = FeatureBank.open(f"{web.address}/bank.h5?sig=SECRET")
    address = f"{memory}/banks/bank.h5" if place == "memory" else f"{web.address}/bank.h5"
    assert str(there.path) == address and there.keeps_images
    assert there.classes == here.classes and there.skipped == here.skipped
    for name in ("counts", "means", "variances", "within_covariance"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    for one, other in zip(there.images(), here.images(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(asked.startswith("GET") for asked in web.asked) == (place == "web")  # copied once
    assert os.listdir() == []


def test_what_is_no_bank_at_an_address_is_one_line(web):
    (web.root / "bank.h5").write_bytes(b"no bank")
    for name, told in (("none.h5", "no such feature bank"), ("bank.h5", "it is not an HDF5 file")):
        with pytest.raises(InputError, match=f"^{web.address}/{name}: .*{told}"):
            FeatureBank.open(f"{web.address}/{name}")
    web.fails["/bank.h5"] = [403] * 4
    with pytest.raises(InputError, match=f"^{web.address}/bank.h5: access is denied"):
        FeatureBank.open(f"{web.address}/bank.h5?sig=SECRET")


def test_no_attribute_of_a_bank_has_a_secret(tmp_path):
    attrs = ATTRS | {"dataset": "list:<https://me:SECRET@h/a.txt?sig=SECRET>?seed=1"}
    bank = FeatureBank(**parts(attrs=attrs)).write(tmp_path / "bank.h5")
    assert bank.attrs["dataset"] == "list:<https://h/a.txt>?seed=1"
    assert b"SECRET" not in (tmp_path / "bank.h5").read_bytes()
