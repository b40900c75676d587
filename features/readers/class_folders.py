"""Folders of images: the images below one folder, and one folder a class."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.infrastructure.console import say_once

#: Endings of image files, in lower case. Files of kinds that Pillow does not read (the last two lines) are images too:
#: they are unreadable, and counted as such.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf",
    ".ico", ".icns", ".tga", ".pcx", ".dds", ".sgi", ".psd", ".qoi", ".xbm", ".xpm", ".ras", ".fits",
    ".heic", ".heif", ".hif", ".jxl", ".jxr", ".exr", ".hdr", ".svg", ".dcm",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw",
)  # fmt: skip

#: Folders and files that operating systems leave behind. Names that begin with a dot are left out as well.
_LEFT_BEHIND = frozenset(
    {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found"}
)
#: Folders that are looked into for the same folders, as in the parts of a cross-validation.
_LOOKED_INTO = 10
#: Folders that a message lists.
_SHOWN = 5
#: Words for a split, and those that may stand beside one in the name of a folder.
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "holdout"})
_BESIDE = frozenset({"set", "data", "images", "imgs", "split", "folder"})


def is_left_behind(path: str) -> bool:
    """Return whether a path leads through a folder or to a file that is hidden or left behind by a system.

    >>> [is_left_behind(path) for path in ("a/._1.jpg", "__MACOSX/a/1.jpg", "a/@eaDir/1.jpg", "./a/1.jpg")]
    [True, True, True, False]
    """
    parts = path.split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part.lower() in _LEFT_BEHIND for part in parts)


def split_word(folder: str) -> str:
    """Return the split that the name of a folder stands for, empty if none.

    >>> [split_word(name) for name in ("Train", "training_set", "val2017", "test-images", "trainer")]
    ['train', 'training', 'val', 'test', '']
    """
    words = [word.rstrip("0123456789") for word in re.split(r"[\s_.-]+", folder.lower())]
    kept = [word for word in words if word and word not in _BESIDE]
    return kept[0] if len(kept) == 1 and kept[0] in _SPLITS else ""


def read_class_folders(spec: DatasetSpec, root: Path, parts: Sequence[str]) -> ImageDataset:
    """Read the class folders in each folder of ``parts`` below ``root``, which ids start from, as one dataset.

    An empty part means ``root`` itself.

    Raises:
        InputError: A part has no class folders, none with an image, or splits instead.
    """
    of_part = [_scan_part(spec, str(root), part) for part in parts]
    classes = sorted(set().union(*of_part))
    position = {name: i for i, name in enumerate(classes)}
    paths: list[str] = []
    labels: list[np.ndarray] = []
    for images in of_part:
        for name, found in images.items():
            paths += found
            labels.append(np.full(len(found), position[name]))
    return ImageDataset(str(spec), tuple(classes), np.concatenate(labels), paths, FileImages(root, paths))


def _scan_part(spec: DatasetSpec, root: str, part: str) -> dict[str, list[str]]:
    """The image paths below ``root``, sorted, by class name, for the class folders of one part."""
    directory = os.path.join(root, part) if part else root
    classes = subfolders(spec, directory)
    if not classes:
        raise spec.error(f"{directory} holds no folders; expected one folder a class, with its images inside")
    _refuse_splits(spec, directory, classes)
    prefix = f"{part}/" if part else ""
    images = {name: images_below(spec, root, prefix + name) for name in classes}
    if not any(images.values()):
        raise spec.error(
            f"none of the {len(classes)} class folders in {directory} holds an image (endings such as .jpg, .png); the "
            f"first is {classes[0]!r}"
        )
    return images


def _refuse_splits(spec: DatasetSpec, directory: str, folders: Sequence[str]) -> None:
    """Raise `InputError` if folders are splits: several have the words of splits, and classes inside.

    Without classes inside, they are splits if they have different words and nothing else is there. A single folder is
    one if it has classes inside. Other folders that seem to hold the classes are told by a line on the console.
    """
    splits = [name for name in folders if split_word(name)]
    looked_into = [*folders[:_LOOKED_INTO], *splits]
    inside = {name: subfolders(spec, os.path.join(directory, name)) for name in looked_into}
    alone = len({split_word(name) for name in splits}) > 1 and len(splits) == len(folders)
    several = len(splits) > 1 or len(folders) == 1
    if alone or (several and any(inside[name] for name in splits)):
        types = " or ".join(f"{spec.scheme}:{directory}@{name}" for name in splits)
        raise spec.error(f"{directory} holds splits ({', '.join(splits)}), not classes; type {types}")
    first = inside[folders[0]]
    if len(folders) <= _LOOKED_INTO and len(first) > 1 and all(found == first for found in inside.values()):
        say_once(
            f"{spec}: each of its classes ({', '.join(folders)}) holds the folders {', '.join(first[:_SHOWN])}: if "
            f"these are the classes, type {spec.scheme}:{os.path.join(directory, folders[0])}"
        )


def subfolders(spec: DatasetSpec, directory: str) -> list[str]:
    """Return the names of the folders in ``directory``, sorted.

    Raises:
        InputError: The directory cannot be listed, or holds a broken link that may have been a folder.
    """
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if is_left_behind(entry.name):
                    continue
                if entry.is_dir():
                    found.append(entry.name)
                else:
                    _refuse_lost_folder(spec, entry)
    except OSError as error:
        raise spec.error(f"{directory} cannot be listed: {error.strerror or error}") from error
    return sorted(found)


def images_below(spec: DatasetSpec, root: str, folder: str = "") -> list[str]:
    """Return the sorted POSIX paths, relative to ``root``, of the images anywhere below ``root/folder``.

    Images are recognised by their endings (:data:`IMAGE_SUFFIXES`, in any case). Symbolic links are followed. What
    :func:`is_left_behind` tells is skipped. A broken link with an image's ending is listed, so that reading it reports
    it.

    Raises:
        InputError: A folder cannot be listed, or a broken link may have been a folder.
    """
    found, pending = [], [folder]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in entries:
                    if is_left_behind(entry.name):
                        continue
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    # The name decides, without a stat: a folder or a broken link called x.jpg counts as an image,
                    # and reading it reports the fault.
                    if entry.name.lower().endswith(IMAGE_SUFFIXES):
                        found.append(path)
                    elif entry.is_dir():
                        if not (entry.is_symlink() and _leads_back(entry)):
                            pending.append(path)
                    else:
                        _refuse_lost_folder(spec, entry)
        except OSError as error:
            raise spec.error(f"{error.filename or root} cannot be listed: {error.strerror or error}") from error
    return sorted(found)


def _leads_back(link: os.DirEntry[str]) -> bool:
    """Whether a link leads to a folder that contains it, whose images are listed already."""
    target = os.path.realpath(link.path)
    here = os.path.realpath(os.path.dirname(link.path))
    return here == target or here.startswith(target + os.sep)


def _refuse_lost_folder(spec: DatasetSpec, entry: os.DirEntry[str]) -> None:
    """Raise `InputError` for a broken link without an ending, which may have been a folder of images."""
    if entry.is_symlink() and not os.path.splitext(entry.name)[1] and not os.path.exists(entry.path):
        raise spec.error(f"{entry.path} is a broken link, perhaps to a folder of images; repair it or remove it")
