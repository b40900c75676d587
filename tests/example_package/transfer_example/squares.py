"""``squares:N``: N images of a red, a green and a blue square each, on grey."""

from __future__ import annotations

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import ArrayImages
from features.readers.checks import check_split
from features.readers.scheme import Scheme

COLOURS = ("blue", "green", "red")
SIDE = 32


def open_squares(spec: DatasetSpec) -> ImageDataset:
    """Draw the images; each square is somewhere else.

    Raises:
        InputError: N is not a number of at least 1, or the spec has a split.
    """
    check_split(spec, ())
    if not spec.location.isdecimal() or spec.location == "0":
        raise spec.error("expected a number of images of each class, such as squares:5")
    labels = np.repeat(np.arange(len(COLOURS)), int(spec.location))
    pixels = np.full((len(labels), SIDE, SIDE, 3), 128, dtype=np.uint8)
    corners = np.random.default_rng(0).integers(0, SIDE // 2, (len(labels), 2))
    for image, label, (row, column) in zip(pixels, labels, corners, strict=True):
        image[row : row + SIDE // 2, column : column + SIDE // 2] = 255 * (np.arange(3) == 2 - label)
    return ImageDataset(str(spec), COLOURS, labels, [str(i) for i in range(len(labels))], ArrayImages(pixels))


SQUARES = Scheme("squares", "squares of three colours", "squares:N", open_squares)
