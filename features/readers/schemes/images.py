"""``images:DIR``, ``images:FILE.jpg`` and ``images:FILE.txt``: images without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from features.address_images import AddressImages
from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts
from features.readers.checks import (
    ROOT_OPTION,
    ROOT_REMEDY,
    check_split,
    existing_file,
    expanded,
    image_root,
    images_below,
    is_directory,
    numbered_lines,
)
from features.readers.folders import IMAGE_SUFFIXES, folders_at, is_left_behind
from features.readers.scheme import Scheme

_EXPECTED = "a directory with images anywhere below it, an image, or a text file with the path of an image a line"
#: Characters of a line that a message shows.
_SHOWN = 80


def open_images(spec: DatasetSpec) -> ImageDataset:
    """Read ``images:DIR``, ``images:FILE.jpg`` or ``images:FILE.txt[.gz][?root=DIR]``: one class, ``unlabelled``.

    Images are found anywhere below DIR (:meth:`features.readers.folders.Folders.images_below`) and sorted by path. Ids
    are POSIX paths below DIR; the id of a single image is its name.

    A file that is no image holds the path of an image a line, and the images have its order. Ids are the paths, which
    start from the directory ``root``, by default that of the file.
    """
    location = expanded(spec.location)
    check_split(spec, ())
    is_image = location.name.lower().endswith(IMAGE_SUFFIXES)
    is_folder = not is_image and is_directory(location)
    if "root" in spec.options and (is_image or is_folder):
        raise spec.error("root says where the paths of a list start; leave it out")
    root = image_root(spec, location if is_folder else location.parent)
    images: FileImages | AddressImages
    if is_folder:
        folders = folders_at(spec, root)
        paths = folders.images_below("")
        if not paths:
            raise spec.error(f"{root} holds no image; expected files with endings such as .jpg, .png")
        images = folders.images(paths)
    else:
        existing_file(spec, location, _EXPECTED)
        paths = [location.name] if is_image else _listed(spec, location)
        paths, images = images_below(spec, root, paths, ROOT_REMEDY)
    labels = np.zeros(len(paths), dtype=np.int64)
    return ImageDataset(str(spec), ("unlabelled",), labels, Texts.of(paths), images)


def _listed(spec: DatasetSpec, path: Location) -> list[str]:
    """The paths of images that a text file lists.

    Raises:
        InputError: The file is not text, a line has no ending of an image, or a label, or there is no line.
    """
    paths = []
    for number, line in numbered_lines(spec, path):
        if not line.lower().endswith(IMAGE_SUFFIXES):
            where = f"{path}, line {number}: {line[:_SHOWN]!r}"
            if any(word.lower().rstrip(":").endswith(IMAGE_SUFFIXES) for word in line.rsplit(maxsplit=1)[:-1]):
                raise spec.error(f"{where} has a label beside the path; type {replace(spec, scheme='list').typed()}")
            raise spec.error(f"{where} is no path of an image, with an ending such as .jpg; expected {_EXPECTED}")
        paths.append(line)
    if not paths:
        raise spec.error(f"{path} lists no image; expected the path of an image a line")
    return paths


_MEANING = "images without labels: all below a folder, one file, or those a text file lists (?root=DIR); one class"


def _recognised(path: Path) -> DatasetSpec | None:
    """An image, or a folder of images without class folders."""
    if path.is_dir():
        inside = [entry for entry in path.iterdir() if not is_left_behind(entry.name)]
        loose = inside and not any(map(Path.is_dir, inside))
    else:
        loose = path.name.lower().endswith(IMAGE_SUFFIXES)
    return DatasetSpec("images", str(path)) if loose else None


IMAGES = Scheme(
    "images",
    _MEANING,
    "images:DIR",
    open_images,
    {"root": ROOT_OPTION},
    unlabelled=True,
    addresses=True,
    recognises=_recognised,
)
