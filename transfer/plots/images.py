"""Images side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from features.dataset import ImageDataset
from features.image_sources import UnreadableImage
from features.infrastructure.names import as_text
from transfer.plots.style import INK, WIDTH

#: Pixels of the side of a thumbnail.
SIDE = 96
#: Images of a class that are tried until one can be read.
_TRIED = 5


def contact_sheet(
    images: Sequence[tuple[str, Image.Image]], columns: int = 8, lines: int = 2, *, width: float = WIDTH
) -> Figure:
    """Thumbnails, each below its caption; with two columns, pairs side by side.

    Args:
        images: Captions and images.
        columns: Images in a row.
        lines: Lines of a caption; a longer one is cut.
        width: Inches.
    """
    rows = max(1, -(-len(images) // columns))
    side = width / columns
    figure = Figure(figsize=(width, (side + 0.16 * lines) * rows), layout="constrained")
    frames = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in frames:
        axes.axis("off")
    letters = max(8, int(13 * side))
    for axes, (caption, image) in zip(frames, images, strict=False):  # the last row may be short
        axes.imshow(image, interpolation="nearest")
        words = textwrap.wrap(as_text(caption).replace("_", " "), letters, max_lines=lines, placeholder=" …")
        axes.set_title("\n".join(words), fontsize=7.5, color=INK, pad=2, parse_math=False)
    return figure


def examples(dataset: ImageDataset, classes: Sequence[str]) -> list[tuple[str, Image.Image]]:
    """The name and a square thumbnail of the first readable image of each class; a class without one is left out."""
    position = {name: label for label, name in enumerate(dataset.classes)}
    wanted = np.array([position[name] for name in classes], dtype=np.int64)
    order = np.argsort(dataset.labels, kind="stable")
    first = np.searchsorted(dataset.labels[order], wanted)
    found = []
    for name, label, start in zip(classes, wanted, first, strict=True):
        for index in order[start : start + _TRIED]:
            if dataset.labels[index] != label:
                break
            if (image := thumbnail(dataset, int(index))) is not None:
                found.append((name, image))
                break
    return found


def thumbnail(dataset: ImageDataset, index: int, side: int = SIDE) -> Image.Image | None:
    """A square thumbnail of an image, cut around its centre; None if it cannot be read."""
    try:
        image = dataset.image(index, side)
    except UnreadableImage:
        return None
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.resize((side, side), box=(left, top, left + edge, top + edge))
