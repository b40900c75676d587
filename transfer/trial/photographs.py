"""What a person gives to ``transfer try``: a folder, a table or a dataset spec, as the specs of two parts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import is_address, located
from features.readers import SCHEMES
from features.readers.class_folders import split_word
from features.readers.folders import IMAGE_SUFFIXES, folders_at, is_left_behind
from features.readers.schemes.csv_file import splits_in

#: Words for the part that is trained on and for that which is tested on, the first that is there.
_TRAIN, _TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation", "holdout", "dev", "eval")


@dataclass(frozen=True)
class Photographs:
    """The photographs of a person.

    Attributes:
        whole: Dataset spec of the images to train on, and to hold test images out of if there are no others.
        test: Dataset spec of the test images; None if they are to be held out.
        loose: Images that lie in the folder outside of its class folders, as paths below it.
        root: The folder that ``loose`` are in; None without such images.
    """

    whole: str
    test: str | None = None
    loose: tuple[str, ...] = ()
    root: Path | None = None


def read_photographs(given: str, test: str | None = None) -> Photographs:
    """Tell what a person has given: a folder of class folders or of two parts, a table, or a dataset spec.

    Args:
        given: The folder, the table (.csv) or the spec.
        test: A folder or a spec of test images; by default the part of the folder or of the table that is called so.

    Raises:
        InputError: There is nothing of that name, or it is neither.
    """
    if _is_spec(given):
        return Photographs(given, None if test is None else as_spec(test))
    if is_address(given):
        return Photographs(as_spec(given), None if test is None else as_spec(test))
    path = Path(os.path.expanduser(given))
    if path.is_dir():
        return _folder(path, test)
    if path.suffix == ".csv" and path.is_file():
        return _table(path, test)
    what = "is no table (.csv) or folder" if path.exists() else "no such file or folder"
    raise InputError(
        f"{given}: {what}; give a folder of class folders, a table of images and labels, or a dataset spec"
    )


def as_spec(given: str) -> str:
    """Return a dataset spec: of a folder of class folders, of a table, or what is one already."""
    if _is_spec(given):
        return given
    scheme = "csv" if located(given).suffix == ".csv" else "folder"
    return f"{scheme}:<{given}>" if is_address(given) else str(DatasetSpec(scheme, given))


def _is_spec(given: str) -> bool:
    scheme, colon, _ = given.partition(":")
    return bool(colon) and scheme in SCHEMES and not is_address(given) and not Path(given).exists()


def _folder(path: Path, test: str | None) -> Photographs:
    spec = DatasetSpec("folder", str(path))
    below = folders_at(spec, path)
    folders = below.subfolders("")
    words = {split_word(name): name for name in folders if split_word(name)}
    train, held = (next((words[word] for word in some if word in words), None) for some in (_TRAIN, _TEST))
    if train is not None and below.subfolders(train):
        whole = str(DatasetSpec("folder", str(path), train))
        held = None if held is None else str(DatasetSpec("folder", str(path), held))
        return Photographs(whole, held if test is None else as_spec(test))
    if not folders:
        raise InputError(f"{path}: has no class folders; put the images of each class into a folder of its own")
    loose = tuple(sorted(name for name in os.listdir(path) if _is_image(path / name)))
    return Photographs(str(spec), None if test is None else as_spec(test), loose, path if loose else None)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_left_behind(path.name) and path.is_file()


def _table(path: Path, test: str | None) -> Photographs:
    words = {split_word(name): name for name in splits_in(str(path)) if split_word(name)}
    train, held = (next((words[word] for word in some if word in words), None) for some in (_TRAIN, _TEST))
    if train is None or (held is None and test is None):
        return Photographs(str(DatasetSpec("csv", str(path))), None if test is None else as_spec(test))
    tested = as_spec(test) if test is not None else str(DatasetSpec("csv", str(path), held))
    return Photographs(str(DatasetSpec("csv", str(path), train)), tested)
