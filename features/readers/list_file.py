"""``list:FILE.txt[.gz]``: lines of a path and a label, as ImageNet-LT, Places-LT and iNaturalist-LT come."""

from __future__ import annotations

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.readers.checks import check_split, existing_file, image_root, location, wrong
from features.readers.class_names import folder_names
from features.readers.text_lines import numbered_lines


def open_list(spec: DatasetSpec) -> ImageDataset:
    """Read ``list:FILE.txt[.gz][?root=DIR]``.

    A line is ``relative/path label`` or ``relative/path: label``. The label is what follows the last
    white space, so a path may hold spaces. Labels are integers from 0, with gaps or without; classes are in
    their order. A class is called like the folder of its images where folders and labels are one-to-one
    (``train/n01440764/x.JPEG 0`` gives ``n01440764``), else ``class_<label>``. Ids are the paths.

    Args:
        spec: ``root`` is where the paths start from; by default the folder of the list.

    Raises:
        InputError: No such file or root, a line that is malformed (with its number), or a split.
    """
    path = existing_file(spec, location(spec), "a text file with lines of 'relative/path label'")
    check_split(spec, ())
    root = image_root(spec, path.parent)
    paths: list[str] = []
    numbers: list[int] = []
    for number, line in numbered_lines(spec, path):
        words = line.rsplit(maxsplit=1)
        if len(words) < 2:
            raise wrong(spec, f"{path}, line {number}: {line!r} is not 'relative/path label'")
        image, label = words
        if not label.isdecimal() or len(label) > 18:  # more would not fit into int64
            raise wrong(spec, f"{path}, line {number}: the label {label!r} is not an integer of at least 0")
        paths.append(image.removesuffix(":"))
        numbers.append(int(label))
    values, labels = np.unique(np.array(numbers, dtype=np.int64), return_inverse=True)
    return ImageDataset(str(spec), folder_names(paths, labels, values.tolist()), labels, paths, FileImages(root, paths))
