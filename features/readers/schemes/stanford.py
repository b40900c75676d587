"""``dogs:DIR`` and ``cars:DIR``: Stanford Dogs and Stanford Cars, whose labels are in MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.formats.matlab_files import read_matlab
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts
from features.readers.checks import (
    check_split,
    existing_directory,
    existing_file,
    expanded,
    images_below,
    is_file,
)
from features.readers.class_folders import read_class_folders
from features.readers.class_names import distinct_names, folder_names
from features.readers.folders import folders_at
from features.readers.scheme import Scheme

_SPLITS = ("train", "test")


def open_dogs(spec: DatasetSpec) -> ImageDataset:
    """Read ``dogs:DIR[@train|@test]``: ``train_list.mat``, ``test_list.mat`` and ``Images/``.

    Classes are in the order of the labels (1 to 120 in the files) and have the names of their folders, such as
    ``n02085620-Chihuahua``. Ids are the paths below ``Images``. Without a split, train comes before test.
    """
    expected = "a directory with train_list.mat, test_list.mat and Images/"
    root = existing_directory(spec, expanded(spec.location), expected)
    check_split(spec, _SPLITS)
    paths: list[str] = []
    numbers: list[NDArray[np.int64]] = []
    for part in _parts(spec):
        file = existing_file(spec, root / f"{part}_list.mat", "the official lists of Stanford Dogs (lists.tar)")
        content = _load(spec, file, ("file_list", "labels"))
        files, classes = np.atleast_1d(content["file_list"]).tolist(), np.atleast_1d(content["labels"])
        if len(files) != len(classes) or not all(isinstance(name, str) for name in files):
            raise spec.error(f"{file}: file_list and labels are not one path and one number an image")
        paths += files
        numbers.append(_whole(spec, file, classes))
    values, labels = np.unique(np.concatenate(numbers), return_inverse=True)
    images = existing_directory(spec, root / "Images", "the images of Stanford Dogs (images.tar)")
    names = folder_names(paths, labels, values.tolist())
    paths, source = images_below(spec, images, paths)
    return ImageDataset(str(spec), names, labels, Texts.of(paths), source)


def open_cars(spec: DatasetSpec) -> ImageDataset:
    """Read ``cars:DIR[@train|@test]``: the official devkit, or class folders.

    The devkit's files ``cars_meta.mat``, ``cars_train_annos.mat`` and ``cars_test_annos_withlabels.mat`` are in DIR or
    ``DIR/devkit``, its images in ``DIR/cars_train`` and ``DIR/cars_test``. If ``cars_meta.mat`` is missing, the class
    folders ``DIR/train/<class>/`` and ``DIR/test/<class>/`` are read. Without a split, train comes before test. Ids
    are the paths below DIR.
    """
    expected = "the devkit of Stanford Cars with cars_train/ and cars_test/, or train/ and test/ by class"
    root = existing_directory(spec, expanded(spec.location), expected)
    check_split(spec, _SPLITS)
    meta = _devkit_file(root, "cars_meta.mat")
    if meta is None:
        folders = folders_at(spec, root)
        if not set(_parts(spec)) <= set(folders.subfolders("")):
            raise spec.error(
                f"{root} has neither cars_meta.mat (also looked for in devkit/) nor folders {', '.join(_parts(spec))}"
            )
        return read_class_folders(spec, root, _parts(spec), folders)
    names = np.atleast_1d(_load(spec, meta, ("class_names",))["class_names"]).tolist()
    if not all(isinstance(name, str) for name in names):
        raise spec.error(f"{meta}: class_names are not one text a class")
    paths: list[str] = []
    numbers: list[NDArray[np.int64]] = []
    for part in _parts(spec):
        file_name = "cars_train_annos.mat" if part == "train" else "cars_test_annos_withlabels.mat"
        file = _devkit_file(root, file_name)
        if file is None:
            hint = "; cars_test_annos.mat has no labels" if part == "test" else ""
            raise spec.error(f"no {file_name} in {root} or {root / 'devkit'}{hint}")
        existing_directory(spec, root / f"cars_{part}", f"the images that {file_name} lists")
        annotations = np.atleast_1d(_load(spec, file, ("annotations",))["annotations"])
        if not {"fname", "class"} <= set(annotations.dtype.names or ()):
            raise spec.error(f"{file}: the annotations lack fname or class")
        if not all(isinstance(name, str) for name in annotations["fname"].tolist()):
            raise spec.error(f"{file}: fname is not one text an image")
        found, _ = images_below(spec, root / f"cars_{part}", annotations["fname"].tolist())
        paths += [f"cars_{part}/{name}" for name in found]
        numbers.append(_whole(spec, file, annotations["class"]))
    labels = np.concatenate(numbers) - 1
    if len(labels) and (labels.min() < 0 or labels.max() >= len(names)):
        raise spec.error(f"classes run from {labels.min() + 1} to {labels.max() + 1}, but {meta} names {len(names)}")
    classes = distinct_names(names, range(1, len(names) + 1))
    paths, source = images_below(spec, root, paths)
    return ImageDataset(str(spec), classes, labels, Texts.of(paths), source)


def _parts(spec: DatasetSpec) -> Sequence[str]:
    return _SPLITS if spec.split is None else (spec.split,)


def _devkit_file(root: Location, name: str) -> Location | None:
    return next((path for path in (root / name, root / "devkit" / name) if is_file(path)), None)


def _load(spec: DatasetSpec, path: Location, variables: Sequence[str]) -> dict[str, Any]:
    """The variables of a MATLAB file, with cells and structs as flat arrays."""
    try:
        content = read_matlab(path)
    except InputError as error:
        raise spec.error(str(error)) from error
    for name in variables:
        if name not in content:
            raise spec.error(f"{path} has no variable {name!r}; expected the official file")
    return content


def _whole(spec: DatasetSpec, path: Location, labels: Any) -> NDArray[np.int64]:
    """The labels of a file as integers; raise `InputError` if one is not a whole number of at least 1."""
    numbers = np.asarray(labels).tolist()
    for label in numbers:
        if not (isinstance(label, (int, float)) and 1 <= label < 2**53 and label == int(label)):  # false for nan too
            raise spec.error(f"{path}: the label {label!r} is not a whole number of at least 1")
    return np.array(numbers, dtype=np.int64)


def _is_dogs(path: Path) -> DatasetSpec | None:
    return DatasetSpec("dogs", str(path), "train") if (path / "train_list.mat").is_file() else None


def _is_cars(path: Path) -> DatasetSpec | None:
    return None if _devkit_file(path, "cars_meta.mat") is None else DatasetSpec("cars", str(path), "train")


DOGS = Scheme(
    "dogs",
    "Stanford Dogs: train_list.mat, test_list.mat",
    "dogs:DIR[@train|@test]",
    open_dogs,
    addresses=True,
    recognises=_is_dogs,
)
CARS = Scheme(
    "cars",
    "Stanford Cars: the devkit's .mat files, or class folders",
    "cars:DIR[@train|@test]",
    open_cars,
    addresses=True,
    recognises=_is_cars,
)
