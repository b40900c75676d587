"""``dogs:`` and ``cars:``."""

import numpy as np
import pytest
from scipy.io import savemat
from support import picture, refused

from features.readers import open_dataset

TRAIN = ["n02-Beagle/b1.jpg", "n01-Akita/a1.jpg", "n02-Beagle/b2.jpg"]
TEST = ["n01-Akita/a2.jpg"]


@pytest.fixture
def dogs(tmp_path):
    """Cells of strings and a column of doubles, as MATLAB wrote the official lists."""
    for name, files, labels in (("train", TRAIN, [1, 2, 1]), ("test", TEST, [2])):
        cells = np.array(files, dtype=object).reshape(-1, 1)
        content = {"file_list": cells, "annotation_list": cells, "labels": np.array(labels, float).reshape(-1, 1)}
        savemat(tmp_path / f"{name}_list.mat", content)
    for name in TRAIN + TEST:
        picture(tmp_path / "Images" / name)
    return tmp_path


def test_dogs_are_in_the_order_of_the_labels(dogs):
    train = open_dataset(f"dogs:{dogs}@train")
    assert train.classes == ("n02-Beagle", "n01-Akita")
    assert list(train.ids) == TRAIN and train.labels.tolist() == [0, 1, 0]
    test = open_dataset(f"dogs:{dogs}@test")  # one image: MATLAB's arrays shrink to a scalar
    assert list(test.ids) == TEST and test.classes == ("n01-Akita",)
    whole = open_dataset(f"dogs:{dogs}")
    assert list(whole.ids) == TRAIN + TEST and whole.labels.tolist() == [0, 1, 0, 1]
    assert whole.image(3).size == (4, 4)


def test_dogs_that_are_not_whole(dogs):
    assert "unknown split 'val'; expected one of train, test" in refused(f"dogs:{dogs}@val")
    (dogs / "test_list.mat").write_bytes(b"MATLAB no more")
    assert "test_list.mat is not a readable MATLAB file" in refused(f"dogs:{dogs}@test")
    savemat(dogs / "test_list.mat", {"labels": np.array([[1.0]])})
    assert "test_list.mat has no variable 'file_list'" in refused(f"dogs:{dogs}@test")
    cells = np.array(TRAIN, dtype=object).reshape(-1, 1)
    savemat(dogs / "test_list.mat", {"file_list": cells, "labels": np.array([[1.0]])})
    assert "are not one path and one number an image" in refused(f"dogs:{dogs}@test")
    (dogs / "test_list.mat").unlink()
    assert f"no such file: {dogs / 'test_list.mat'}; expected the official lists" in refused(f"dogs:{dogs}")
    (dogs / "Images").rename(dogs / "images_")
    assert f"no such directory: {dogs / 'Images'}" in refused(f"dogs:{dogs}@train")


CARS = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "smart fortwo Convertible 2012"]


def annotations(files, classes):
    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    rows = np.zeros((1, len(files)), dtype=[(field, object) for field in fields])
    for i, (file, number) in enumerate(zip(files, classes, strict=True)):
        rows[0, i] = (1, 1, 3, 3, number, file)
    return {"annotations": rows}


@pytest.fixture(params=["", "devkit"])
def cars(tmp_path, request):
    devkit = tmp_path / request.param
    devkit.mkdir(exist_ok=True)
    savemat(devkit / "cars_meta.mat", {"class_names": np.array(CARS, dtype=object).reshape(1, -1)})
    savemat(devkit / "cars_train_annos.mat", annotations(["00001.jpg", "00002.jpg"], [3, 1]))
    savemat(tmp_path / "cars_test_annos_withlabels.mat", annotations(["00001.jpg"], [2]))
    for name in ("cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"):
        picture(tmp_path / name)
    return tmp_path


def test_cars_from_the_devkit(cars):
    whole = open_dataset(f"cars:{cars}")
    assert whole.classes == tuple(CARS) and whole.labels.tolist() == [2, 0, 1]
    assert list(whole.ids) == ["cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"]
    assert list(open_dataset(f"cars:{cars}@train").ids) == list(whole.ids)[:2]
    test = open_dataset(f"cars:{cars}@test")
    assert test.labels.tolist() == [0] and test.classes == (CARS[1],)
    assert whole.image(2).size == (4, 4)


def test_cars_that_are_not_whole(cars):
    (cars / "cars_test").rename(cars / "test")
    assert f"no such directory: {cars / 'cars_test'}" in refused(f"cars:{cars}@test")
    savemat(cars / "cars_test_annos_withlabels.mat", annotations(["00001.jpg"], [4]))
    (cars / "test").rename(cars / "cars_test")
    assert "classes run from 4 to 4, but " in (said := refused(f"cars:{cars}@test")) and "names 3" in said
    savemat(cars / "cars_test_annos_withlabels.mat", {"annotations": np.arange(3)})
    assert "the annotations lack fname or class" in refused(f"cars:{cars}@test")
    (cars / "cars_test_annos_withlabels.mat").unlink()
    assert "no cars_test_annos_withlabels.mat in " in (said := refused(f"cars:{cars}@test"))
    assert said.endswith("cars_test_annos.mat has no labels")


def test_cars_copied_by_class_folder(tmp_path):
    for name in ("train/Audi A5/1.jpg", "train/BMW M3/2.jpg", "test/BMW M3/3.jpg", "test/BMW M3/4.jpg"):
        picture(tmp_path / name)
    whole = open_dataset(f"cars:{tmp_path}")
    assert whole.classes == ("Audi A5", "BMW M3") and whole.labels.tolist() == [0, 1, 1, 1]
    assert whole.ids[0] == "train/Audi A5/1.jpg"
    assert open_dataset(f"cars:{tmp_path}@test").classes == ("BMW M3",)
    (tmp_path / "test").rename(tmp_path / "held out")
    assert len(open_dataset(f"cars:{tmp_path}@train")) == 2
    assert "has neither cars_meta.mat (also looked for in devkit/) nor folders test" in refused(f"cars:{tmp_path}@test")
