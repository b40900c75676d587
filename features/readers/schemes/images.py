"""``images:DIR``, ``images:FILE.jpg`` and ``images:FILE.txt``: images without labels."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.readers.checks import check_split, existing_file, expanded, image_root, numbered_lines
from features.readers.class_folders import IMAGE_SUFFIXES, images_below
from features.readers.scheme import Scheme

_EXPECTED = "a directory with images anywhere below it, an image, or a text file with the path of an image a line"
#: Characters of a line that a message shows.
_SHOWN = 80


def open_images(spec: DatasetSpec) -> ImageDataset:
    """Read ``images:DIR``, ``images:FILE.jpg`` or ``images:FILE.txt[.gz][?root=DIR]``: one class, ``unlabelled``.

    Images are found anywhere below DIR (:func:`features.readers.class_folders.images_below`) and sorted by path. Ids
    are POSIX paths below DIR; the id of a single image is its name.

    A file that is no image holds the path of an image a line, and the images have its order. Ids are the paths, which
    start from the directory ``root``, by default that of the file.
    """
    location = expanded(spec.location)
    check_split(spec, ())
    is_image = location.name.lower().endswith(IMAGE_SUFFIXES)
    if "root" in spec.options and (is_image or os.path.isdir(location)):
        raise spec.error("root says where the paths of a list start; leave it out")
    root = image_root(spec, location if os.path.isdir(location) else location.parent)
    if os.path.isdir(location):
        paths = images_below(spec, str(root))
        if not paths:
            raise spec.error(f"{root} holds no image; expected files with endings such as .jpg, .png")
    else:
        existing_file(spec, location, _EXPECTED)
        paths = [location.name] if is_image else _listed(spec, location)
    labels = np.zeros(len(paths), dtype=np.int64)
    return ImageDataset(str(spec), ("unlabelled",), labels, paths, FileImages(root, paths))


def _listed(spec: DatasetSpec, path: Path) -> list[str]:
    """The paths of images that a text file lists.

    Raises:
        InputError: The file is not text, a line has no ending of an image, or a label, or there is no line.
    """
    paths = []
    for number, line in numbered_lines(spec, path):
        if "\0" in line:
            raise spec.error(f"{path} is no text file; expected {_EXPECTED}")
        if not line.lower().endswith(IMAGE_SUFFIXES):
            where = f"{path}, line {number}: {line[:_SHOWN]!r}"
            if any(word.lower().rstrip(":").endswith(IMAGE_SUFFIXES) for word in line.rsplit(maxsplit=1)[:-1]):
                raise spec.error(f"{where} has a label beside the path; type list:{spec.location}")
            raise spec.error(f"{where} is no path of an image, with an ending such as .jpg; expected {_EXPECTED}")
        paths.append(posixpath.normpath(line))  # one image has one id
    if not paths:
        raise spec.error(f"{path} lists no image; expected the path of an image a line")
    return paths


_MEANING = "images without labels: all below a folder, one file, or those a text file lists (?root=DIR); one class"
IMAGES = Scheme("images", _MEANING, "images:DIR", open_images, ("root",), unlabelled=True)
