"""``list:FILE.txt[.gz]``: lines of a path and a label, the format of ImageNet-LT, Places-LT and iNaturalist-LT."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.texts import Texts
from features.readers.checks import (
    ROOT_OPTION,
    ROOT_REMEDY,
    check_split,
    existing_file,
    expanded,
    image_root,
    images_below,
    numbered_lines,
)
from features.readers.class_names import folder_names, names_in_file
from features.readers.folders import IMAGE_SUFFIXES
from features.readers.scheme import Scheme, SpecOption


def open_list(spec: DatasetSpec) -> ImageDataset:
    """Read ``list:FILE.txt[.gz][?root=DIR][&names=FILE]``.

    A line is ``relative/path label`` or ``relative/path: label``. The label follows the last white space, so a path may
    contain spaces. Labels are integers of at least 0, gaps allowed, and give the order of the classes. The name of a
    class is line label + 1 of the file ``names``; without it, the name of its folder if folders and labels are
    one-to-one (``train/n01440764/x.JPEG 0`` gives ``n01440764``), else ``class_<label>``. Two lists of one numbering
    fit together whether or not both have names. Ids are the paths, which start from the directory ``root``, by default
    that of the list.
    """
    path = existing_file(spec, expanded(spec.location), "a text file with lines of 'relative/path label'")
    check_split(spec, ())
    root = image_root(spec, path.parent)
    paths: list[str] = []
    numbers: list[int] = []
    for number, line in numbered_lines(spec, path):
        words = line.rsplit(maxsplit=1)
        if len(words) < 2:
            raise spec.error(f"{path}, line {number}: {line!r} is not 'relative/path label'")
        image, label = words
        if not label.isdecimal() or len(label) > 18:  # larger numbers overflow int64
            raise spec.error(f"{path}, line {number}: the label {label!r} is not an integer of at least 0")
        before = image.split()[-1]
        if before.isdecimal() and before != image and not image.lower().endswith(IMAGE_SUFFIXES):
            raise spec.error(f"{path}, line {number}: {line!r} has several labels; expected one")
        paths.append(image.removesuffix(":"))
        numbers.append(int(label))
    paths, images = images_below(spec, root, paths, ROOT_REMEDY)
    values, labels = np.unique(np.array(numbers, dtype=np.int64), return_inverse=True)
    found = tuple(values.tolist())
    classes = names_in_file(spec, found) if "names" in spec.options else folder_names(paths, labels, found)
    return ImageDataset(str(spec), classes, labels, Texts.of(paths), images, found)


_MEANING = "lines of 'relative/path label'; ?root=DIR says where the images are"


def _recognised(path: Path) -> DatasetSpec | None:
    return DatasetSpec("list", str(path)) if path.name.endswith((".txt", ".txt.gz")) else None


_OPTIONS = {
    "root": ROOT_OPTION,
    "names": SpecOption("FILE", "a text file with the name of a class on each line; that of label 0 comes first"),
}
LIST = Scheme("list", _MEANING, "list:FILE.txt[.gz]", open_list, _OPTIONS, addresses=True, recognises=_recognised)
