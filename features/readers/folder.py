"""``folder:DIR[@split]``: one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.readers.checks import check_split, existing_directory, existing_file, expanded, location, wrong
from features.readers.class_names import distinct_names
from features.readers.text_lines import numbered_lines

#: Endings of image files, in lower case.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2",
)  # fmt: skip

#: Folders that hold a split, not a class.
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def open_folder(spec: DatasetSpec) -> ImageDataset:
    """Read ``folder:DIR[@split][?names=FILE]``; a split is a folder below DIR.

    Class folders are sorted by name, the images found anywhere below each one by path. Files are known
    by their endings (:data:`IMAGE_SUFFIXES`, in any case); hidden ones, whose names begin with a dot,
    are passed over. Symbolic links are followed. Whatever has an image's name is listed, be it a broken
    link, so that reading it can report it. Ids are POSIX paths below DIR, the split's folder included.

    The option ``names`` is a file below DIR with lines like ``n01443537<TAB>goldfish, Carassius
    auratus`` (Tiny ImageNet's ``words.txt``): that class is then called ``n01443537 goldfish``.

    Raises:
        InputError: No such directory, split or names file; no class folders, or one without an image.
    """
    root = existing_directory(spec, location(spec), "a directory with one folder a class")
    if spec.split is not None:
        check_split(spec, _subfolders(spec, str(root)))
    dataset = read_class_folders(spec, root, [spec.split or ""])
    if "names" not in spec.options:
        return dataset
    return ImageDataset(
        dataset.spec, _readable_names(spec, root, dataset.classes), dataset.labels, dataset.ids, dataset.source
    )


def read_class_folders(spec: DatasetSpec, root: Path, parts: Sequence[str]) -> ImageDataset:
    """The class folders of each part, a folder below ``root`` (empty for ``root`` itself), in one dataset.

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
    """Class name to sorted image paths below ``root``, for the class folders of one part."""
    directory = os.path.join(root, part) if part else root
    classes = _subfolders(spec, directory)
    if not classes:
        raise wrong(spec, f"{directory} holds no folders; expected one folder a class, with its images inside")
    if "train" in classes and _SPLITS.issuperset(classes):
        raise wrong(
            spec,
            f"{directory} holds splits ({', '.join(classes)}), not classes; type {spec.scheme}:{directory}@train",
        )
    prefix = f"{part}/" if part else ""
    images = {name: images_below(spec, root, prefix + name) for name in classes}
    empty = [name for name, found in images.items() if not found]
    if empty:
        some = ", ".join(map(repr, empty[:5])) + (", …" if len(empty) > 5 else "")
        raise wrong(
            spec,
            f"{len(empty)} of {len(classes)} class folders in {directory} hold no image: {some}; "
            f"remove them or fill them (endings such as .jpg, .png)",
        )
    return images


def _subfolders(spec: DatasetSpec, directory: str) -> list[str]:
    """The sorted names of the folders in ``directory``."""
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
        raise wrong(spec, f"{directory} cannot be listed: {error.strerror or error}") from error
    return sorted(found)


def images_below(spec: DatasetSpec, root: str, folder: str = "") -> list[str]:
    """The sorted POSIX paths, relative to ``root``, of the images anywhere below ``folder``, itself below ``root``.

    Raises:
        InputError: A folder cannot be listed, or a broken link may have been one.
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
                    # The name decides, without a stat: a folder or a broken link called x.jpg is an image
                    # that cannot be read, and reading it says so.
                    if entry.name.lower().endswith(IMAGE_SUFFIXES):
                        found.append(path)
                    elif entry.is_dir():
                        if not (entry.is_symlink() and _leads_back(entry)):
                            pending.append(path)
                    else:
                        _refuse_lost_folder(spec, entry)
        except OSError as error:
            raise wrong(spec, f"{error.filename or root} cannot be listed: {error.strerror or error}") from error
    return sorted(found)


def _leads_back(link: os.DirEntry[str]) -> bool:
    """Whether a link to a folder leads to one that it lies in, whose images are listed already."""
    target = os.path.realpath(link.path)
    here = os.path.realpath(os.path.dirname(link.path))
    return here == target or here.startswith(target + os.sep)


def _refuse_lost_folder(spec: DatasetSpec, entry: os.DirEntry[str]) -> None:
    """A broken link without an ending may have been a folder of images: do not pass over it."""
    if entry.is_symlink() and not os.path.splitext(entry.name)[1] and not os.path.exists(entry.path):
        raise wrong(spec, f"{entry.path} is a broken link, perhaps to a folder of images; mend it or remove it")


def _readable_names(spec: DatasetSpec, root: Path, folders: Sequence[str]) -> tuple[str, ...]:
    """``<folder> <first synonym>`` for each folder, from the file that the option ``names`` gives."""
    path = existing_file(
        spec, root / expanded(spec.options["names"]), "lines of 'folder<TAB>name' for the option names"
    )
    name_of: dict[str, str] = {}
    for number, line in numbered_lines(spec, path):
        folder, separator, synonyms = line.partition("\t" if "\t" in line else " ")
        first = synonyms.partition(",")[0].strip()
        if not separator or not first:
            raise wrong(spec, f"{path}, line {number}: {line!r} is not 'folder<TAB>name'")
        name_of[folder.strip()] = first
    for folder in folders:
        if folder not in name_of:
            raise wrong(spec, f"{path} has no line for the class folder {folder!r}")
    return distinct_names([f"{folder} {name_of[folder]}" for folder in folders], folders)
