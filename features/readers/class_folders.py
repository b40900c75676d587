"""Folders of images: the images below one folder, and one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages

#: Endings of image files, in lower case.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2",
)  # fmt: skip

#: Folders that hold a split, not a class.
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def read_class_folders(spec: DatasetSpec, root: Path, parts: Sequence[str]) -> ImageDataset:
    """Read the class folders in each folder of ``parts`` below ``root``, which ids start from, as one dataset.

    An empty part means ``root`` itself.

    Raises:
        InputError: A part has no class folders, or a class folder has no image.
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
    if "train" in classes and _SPLITS.issuperset(classes):
        raise spec.error(
            f"{directory} holds splits ({', '.join(classes)}), not classes; type {spec.scheme}:{directory}@train"
        )
    prefix = f"{part}/" if part else ""
    images = {name: images_below(spec, root, prefix + name) for name in classes}
    empty = [name for name, found in images.items() if not found]
    if empty:
        some = ", ".join(map(repr, empty[:5])) + (", …" if len(empty) > 5 else "")
        raise spec.error(
            f"{len(empty)} of {len(classes)} class folders in {directory} hold no image: {some}; "
            f"remove them or fill them (endings such as .jpg, .png)"
        )
    return images


def subfolders(spec: DatasetSpec, directory: str) -> list[str]:
    """Return the names of the folders in ``directory``, sorted.

    Raises:
        InputError: The directory cannot be listed, or holds a broken link that may have been a folder.
    """
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
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

    Images are recognised by their endings (:data:`IMAGE_SUFFIXES`, in any case). Symbolic links are followed. Names
    that begin with a dot are skipped. A broken link with an image's ending is listed, so that reading it reports it.

    Raises:
        InputError: A folder cannot be listed, or a broken link may have been a folder.
    """
    found, pending = [], [folder]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
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
