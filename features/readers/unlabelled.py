"""``images:DIR``: every image below a folder, without labels."""

from __future__ import annotations

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.readers.checks import check_split, existing_directory, location, wrong
from features.readers.folder import images_below

#: The one class of images that have no label.
UNLABELLED = "unlabelled"


def open_images(spec: DatasetSpec) -> ImageDataset:
    """Read ``images:DIR``: one class, ``unlabelled``.

    Images are found anywhere below DIR and sorted by path, as ``folder:`` finds them below a class folder
    (:func:`features.readers.folder.images_below`). Ids are POSIX paths below DIR.

    Raises:
        InputError: No such directory, none that can be listed, a split, or no image.
    """
    root = existing_directory(spec, location(spec), "a directory with images anywhere below it")
    check_split(spec, ())
    paths = images_below(spec, str(root))
    if not paths:
        raise wrong(spec, f"{root} holds no image; expected files with endings such as .jpg, .png")
    return ImageDataset(str(spec), (UNLABELLED,), np.zeros(len(paths), dtype=np.int64), paths, FileImages(root, paths))
