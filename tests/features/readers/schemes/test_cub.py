"""``cub:`` and ``nabirds:``."""

import numpy as np
import pytest
from PIL import Image
from support import refused

from features.readers import open_dataset

NABIRDS = {
    "images.txt": "0000139e-21dc 0817/0000139e21dc.jpg\n0001afd4-99a1 0860/0001afd499a1.jpg\n"
    "0002b0f1-aaaa 0860/0002b0f1aaaa.jpg\n0003c1d2-bbbb 0099/0003c1d2bbbb.jpg\n",
    "image_class_labels.txt": "0000139e-21dc 817\n0003c1d2-bbbb 99\n0001afd4-99a1 860\n0002b0f1-aaaa 860\n",
    "classes.txt": "0 Birds\n1 Ducks, Geese, and Swans\n99 House Sparrow\n"
    "817 Oak Titmouse (Adult)\n860 House Sparrow\n",
    "train_test_split.txt": "0000139e-21dc 1\n0001afd4-99a1 0\n0002b0f1-aaaa 1\n0003c1d2-bbbb 0\n",
}


@pytest.fixture
def nabirds(tmp_path):
    for name, text in NABIRDS.items():
        (tmp_path / name).write_text(text)
    for line in NABIRDS["images.txt"].splitlines():
        path = tmp_path / "images" / line.split()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    return tmp_path


def test_nabirds_ids_have_gaps_and_names_repeat(nabirds):
    dataset = open_dataset(f"nabirds:{nabirds}")
    assert dataset.classes == ("House Sparrow (99)", "Oak Titmouse (Adult)", "House Sparrow (860)")
    assert list(dataset.ids) == [line.split()[1] for line in NABIRDS["images.txt"].splitlines()]
    assert dataset.labels.tolist() == [1, 2, 2, 0]
    assert dataset.image(3).size == (4, 4)


def test_splits_divide_the_images_and_have_the_classes_of_their_own(nabirds):
    whole, train, test = (open_dataset(f"nabirds:{nabirds}{split}") for split in ("", "@train", "@test"))
    assert train.classes == whole.classes[1:] and test.classes == (whole.classes[0], whole.classes[2])
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [1, 0]
    assert sorted([*train.ids, *test.ids]) == sorted(whole.ids)
    assert "unknown split 'val'; expected one of train, test" in refused(f"nabirds:{nabirds}@val")


def test_without_a_split_the_split_file_is_not_needed(nabirds):
    (nabirds / "train_test_split.txt").unlink()
    assert len(open_dataset(f"nabirds:{nabirds}")) == 4
    assert "no such file: " in (said := refused(f"nabirds:{nabirds}@test")) and "train_test_split.txt" in said


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt", "classes.txt"])
def test_a_missing_file_is_named(nabirds, name):
    (nabirds / name).unlink()
    assert f"no such file: {nabirds / name}; expected images.txt," in refused(f"cub:{nabirds}")


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "images.txt",
            "0001afd4-99a1 0860/0001afd499a1.jpg",
            "0001afd4-99a1",
            "line 2: '0001afd4-99a1' is not 'id value'",
        ),
        ("images.txt", "0001afd4-99a1", "0000139e-21dc", "line 2: the id 0000139e-21dc occurs twice"),
        ("images.txt", "0001afd4-99a1", "other", "has no line for image other"),
        ("images.txt", "0001afd4-99a1 0860/0001afd499a1.jpg\n", "", "has no line for image 0001afd4-99a1"),
        ("image_class_labels.txt", "860\n0002", "bird\n0002", "has the class id 'bird', not an integer"),
        ("classes.txt", "99 House Sparrow\n", "", "classes.txt in {} has no line for class 99"),
        (
            "train_test_split.txt",
            "0003c1d2-bbbb 0\n",
            "",
            "train_test_split.txt in {} has no line for image 0003c1d2-bbbb",
        ),
        ("train_test_split.txt", "99a1 0", "99a1 2", "has the flag '2'; expected 1 (train) or 0 (test)"),
    ],
)
def test_files_that_disagree_are_refused(nabirds, name, old, new, said):
    assert old in NABIRDS[name]
    (nabirds / name).write_text(NABIRDS[name].replace(old, new, 1))
    assert said.format(nabirds) in refused(f"cub:{nabirds}@test")


def test_missing_images_folder(nabirds):
    (nabirds / "images").rename(nabirds / "pictures")
    assert f"no such directory: {nabirds / 'images'}" in refused(f"cub:{nabirds}")


@pytest.fixture(scope="module")
def cub(unpack):
    return next(unpack("cub50.tar").rglob("images.txt")).parent


def test_cub_in_its_official_files(cub):
    labels, flags = (np.loadtxt(cub / name, dtype=int) for name in ("image_class_labels.txt", "train_test_split.txt"))
    assert (labels[:, 0] == flags[:, 0]).all()
    whole = open_dataset(f"cub:{cub}")
    assert len(whole) == 2_952 and len(whole.classes) == 50
    assert whole.classes[0] == "001.Black_footed_Albatross"
    assert (np.unique(labels[:, 1], return_inverse=True)[1] == whole.labels).all()
    for split, flag in (("train", 1), ("test", 0)):
        part = open_dataset(f"cub:{cub}@{split}")
        assert part.labels.tolist() == whole.labels[flags[:, 1] == flag].tolist()
        assert all(part.classes[c] == i.split("/")[0] for c, i in zip(part.labels, part.ids, strict=True))
    assert all((cub / "images" / path).is_file() for path in whole.ids)
    assert whole.image(7).size == (227, 227)
