"""``cub:DIR`` and ``nabirds:DIR``: the text files that CUB-200-2011 and NABirds share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts
from features.readers.checks import (
    check_split,
    existing_directory,
    existing_file,
    expanded,
    images_below,
    numbered_lines,
)
from features.readers.class_names import distinct_names
from features.readers.scheme import Scheme

_EXPECTED = (
    "images.txt, image_class_labels.txt, classes.txt, train_test_split.txt and images/, as in the official archive"
)


def open_cub(spec: DatasetSpec) -> ImageDataset:
    """Read ``cub:DIR[@train|@test]`` or ``nabirds:DIR[@train|@test]``; without a split, all images.

    Each file has lines of ``id value``. Ids of images are any words; ids of classes are integers, with gaps. Classes
    are those of ``image_class_labels.txt``, of both splits, in the order of their ids (NABirds' ``classes.txt`` also
    lists the inner nodes of its hierarchy). If a name occurs twice, the class id is appended. Images are in the order
    of ``images.txt``; their ids are the paths there, below ``DIR/images``.
    """
    root = existing_directory(spec, expanded(spec.location), f"a directory with {_EXPECTED}")
    check_split(spec, ("train", "test"))
    path_of = _table(spec, root / "images.txt")
    class_of = _table(spec, root / "image_class_labels.txt")
    name_of = _table(spec, root / "classes.txt")
    _require(spec, path_of, class_of, f"image_class_labels.txt in {root} has no line for image")
    _require(spec, class_of, path_of, f"images.txt in {root} has no line for image")
    used = set(class_of.values())
    if not_integers := [word for word in used if not word.isdecimal() or len(word) > 18]:
        raise spec.error(f"image_class_labels.txt in {root} has the class id {min(not_integers)!r}, not an integer")
    order = sorted(used, key=int)
    _require(spec, order, name_of, f"classes.txt in {root} has no line for class")
    if spec.split is None:
        images = list(path_of)
    else:
        in_train = _table(spec, root / "train_test_split.txt")
        _require(spec, path_of, in_train, f"train_test_split.txt in {root} has no line for image")
        if flags := set(in_train.values()) - {"0", "1"}:
            raise spec.error(
                f"train_test_split.txt in {root} has the flag {min(flags)!r}; expected 1 (train) or 0 (test)"
            )
        wanted = "1" if spec.split == "train" else "0"
        images = [image for image in path_of if in_train[image] == wanted]
    position = {class_id: i for i, class_id in enumerate(order)}
    paths = [path_of[image] for image in images]
    labels = np.array([position[class_of[image]] for image in images])
    classes = distinct_names([name_of[class_id] for class_id in order], order)
    folder = existing_directory(spec, root / "images", "the images, as in the official archive")
    paths, source = images_below(spec, folder, paths)
    return ImageDataset(str(spec), classes, labels, Texts.of(paths), source)


def _table(spec: DatasetSpec, path: Location) -> dict[str, str]:
    """The values in a file of lines ``id value``, by id, in the order of the lines."""
    existing_file(spec, path, _EXPECTED)
    table: dict[str, str] = {}
    for number, line in numbered_lines(spec, path):
        key, *rest = line.split(maxsplit=1)
        if not rest:
            raise spec.error(f"{path}, line {number}: {line!r} is not 'id value'")
        if key in table:
            raise spec.error(f"{path}, line {number}: the id {key} occurs twice")
        table[key] = rest[0]
    return table


def _require(spec: DatasetSpec, keys: Mapping[str, str] | list[str], table: Mapping[str, str], lacks: str) -> None:
    """Raise `InputError` if a key is not in the table."""
    for key in keys:
        if key not in table:
            raise spec.error(f"{lacks} {key}; unpack the official archive anew")


def _is_cub(path: Path) -> DatasetSpec | None:
    return DatasetSpec("cub", str(path), "train") if _holds_files(path) and not _holds_hierarchy(path) else None


def _is_nabirds(path: Path) -> DatasetSpec | None:
    return DatasetSpec("nabirds", str(path), "train") if _holds_files(path) and _holds_hierarchy(path) else None


def _holds_files(path: Path) -> bool:
    return (path / "images.txt").is_file() and (path / "image_class_labels.txt").is_file()


def _holds_hierarchy(path: Path) -> bool:
    """Whether there is a hierarchy of classes, which NABirds alone has."""
    return (path / "hierarchy.txt").is_file()


CUB = Scheme(
    "cub",
    "CUB-200-2011 in its official text files",
    "cub:DIR[@train|@test]",
    open_cub,
    addresses=True,
    recognises=_is_cub,
)
NABIRDS = Scheme(
    "nabirds",
    "NABirds in its official text files",
    "nabirds:DIR[@train|@test]",
    open_cub,
    addresses=True,
    recognises=_is_nabirds,
)
