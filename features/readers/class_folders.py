"""Folders of images, one folder a class: on the disk, or in a store."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.console import say_once
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts
from features.readers.folders import Folders, folders_at

#: Folders that are looked into for the same folders, as in the parts of a cross-validation.
_LOOKED_INTO = 10
#: Folders that a message lists.
_SHOWN = 5
#: Words for a split, and those that may stand beside one in the name of a folder.
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "holdout"})
_BESIDE = frozenset({"set", "data", "images", "imgs", "split", "folder"})


def split_word(folder: str) -> str:
    """Return the split that the name of a folder stands for, empty if none.

    >>> [split_word(name) for name in ("Train", "training_set", "val2017", "test-images", "trainer")]
    ['train', 'training', 'val', 'test', '']
    """
    words = [word.rstrip("0123456789") for word in re.split(r"[\s_.-]+", folder.lower())]
    kept = [word for word in words if word and word not in _BESIDE]
    return kept[0] if len(kept) == 1 and kept[0] in _SPLITS else ""


def read_class_folders(
    spec: DatasetSpec, root: Location, parts: Sequence[str], folders: Folders | None = None
) -> ImageDataset:
    """Read the class folders in each folder of ``parts`` below ``root``, which ids start from, as one dataset.

    An empty part means ``root`` itself. ``folders`` are those at ``root``, if they have been looked at already.

    Raises:
        InputError: A part has no class folders, none with an image, or splits instead.
    """
    folders = folders_at(spec, root) if folders is None else folders
    of_part = [_scan_part(spec, folders, part) for part in parts]
    classes = sorted(set().union(*of_part))
    position = {name: i for i, name in enumerate(classes)}
    paths: list[str] = []
    labels: list[np.ndarray] = []
    for images in of_part:
        for name, found in images.items():
            paths += found
            labels.append(np.full(len(found), position[name]))
    return ImageDataset(str(spec), tuple(classes), np.concatenate(labels), Texts.of(paths), folders.images(paths))


def _scan_part(spec: DatasetSpec, folders: Folders, part: str) -> dict[str, list[str]]:
    """The image paths, sorted, by class name, for the class folders of one part."""
    directory = folders.where(part)
    classes = folders.subfolders(part)
    if not classes:
        raise spec.error(f"{directory} holds no folders; expected one folder a class, with its images inside")
    _refuse_splits(spec, folders, part, classes)
    prefix = f"{part}/" if part else ""
    images = {name: folders.images_below(prefix + name) for name in classes}
    if not any(images.values()):
        raise spec.error(
            f"none of the {len(classes)} class folders in {directory} holds an image (endings such as .jpg, .png); the "
            f"first is {classes[0]!r}"
        )
    _say_if_deeper(spec, folders, part, images)
    if loose := folders.images_in(part):
        named = ", ".join(map(repr, loose[:_SHOWN])) + (", …" if len(loose) > _SHOWN else "")
        say_once(f"{spec}: images in {directory} beside the class folders are not in the dataset: {named}")
    return images


def _refuse_splits(spec: DatasetSpec, folders: Folders, part: str, names: Sequence[str]) -> None:
    """Raise `InputError` if the folders ``names`` are splits: several have the words of splits, and classes inside.

    Without classes inside, they are splits if they have different words and nothing else is there. A single folder is
    one if it has classes inside.
    """
    splits = [name for name in names if split_word(name)]
    looked_into = [*names[:_LOOKED_INTO], *splits]
    directory, prefix = folders.where(part), f"{part}/" if part else ""
    inside = {name: folders.subfolders(prefix + name) for name in looked_into}
    alone = len({split_word(name) for name in splits}) > 1 and len(splits) == len(names)
    several = len(splits) > 1 or len(names) == 1
    if alone or (several and any(inside[name] for name in splits)):
        types = " or ".join(DatasetSpec(spec.scheme, directory, name).typed() for name in splits)
        raise spec.error(f"{directory} holds splits ({', '.join(splits)}), not classes; type {types}")


def _say_if_deeper(spec: DatasetSpec, folders: Folders, part: str, images: dict[str, list[str]]) -> None:
    """Say on the console if the folders inside of those of one part seem to be the classes.

    A few folders seem to hold the classes if no image lies in them themselves, and one of them holds several folders
    with images. A single folder in each class, such as ``images``, is common in datasets.
    """
    if len(images) > _LOOKED_INTO:
        return
    prefix = f"{part}/" if part else ""
    inside = {}
    for name, paths in images.items():
        start = len(prefix) + len(name) + 1
        if any("/" not in path[start:] for path in paths):  # the first image of most datasets
            return
        inside[name] = sorted({path[start:].partition("/")[0] for path in paths})
    deeper = [name for name, found in inside.items() if len(found) > 1]
    if deeper:
        listed = ", ".join(inside[deeper[0]][:_SHOWN]) + (", …" if len(inside[deeper[0]]) > _SHOWN else "")
        types = [DatasetSpec(spec.scheme, folders.where(prefix + name)).typed() for name in deeper]
        say_once(
            f"{spec}: no image lies in its classes ({', '.join(images)}) themselves, but in folders such as {listed}: "
            f"if these are the classes, type {' or '.join(types)}"
        )
