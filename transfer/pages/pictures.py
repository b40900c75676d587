"""Plots and thumbnails as a page holds them: encoded in its addresses."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from features import ImageDataset, open_dataset
from features.infrastructure.errors import InputError
from transfer.plots.images import examples, thumbnail

#: Widths of a plot in inches, on a page and on a phone.
_WIDE, _NARROW = 7.0, 3.9
#: Pixels of the side of a thumbnail, and its quality as a JPEG: about 2 kB.
_SIDE, _QUALITY = 72, 75


@dataclass(frozen=True)
class Picture:
    """A plot of a page.

    Attributes:
        wide, narrow: Addresses of the picture for a page and for a phone.
        alt: What it shows, for those who do not see it.
    """

    wide: str
    narrow: str
    alt: str


def picture(alt: str, plot: Callable[..., Figure], *given: Any, **options: Any) -> Picture:
    """Draw one of :mod:`transfer.plots` at both widths."""
    wide, narrow = (_svg(plot(*given, **options, width=width)) for width in (_WIDE, _NARROW))
    return Picture(wide, narrow, alt)


def _svg(figure: Figure) -> str:
    """The address of a figure as SVG, whose text is text and whose bytes are always the same."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "transfer"}):
        figure.savefig(buffer, format="svg", transparent=True, dpi=150, metadata={"Date": None})
    return _address("image/svg+xml", buffer.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def encoded(image: Image.Image) -> str:
    """The address of a thumbnail."""
    buffer = io.BytesIO()
    image.convert("RGB").resize((_SIDE, _SIDE)).save(buffer, format="JPEG", quality=_QUALITY)
    return _address("image/jpeg", buffer.getvalue())


class Thumbnails:
    """Thumbnails out of datasets, which are opened when they are first asked for.

    A dataset that cannot be opened any more has no thumbnails, and its spec and the reason are in ``missing``.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._datasets: dict[str, ImageDataset | None] = {}
        self._positions: dict[str, dict[str, int]] = {}
        self._examples: dict[tuple[str, str], str | None] = {}

    def dataset(self, spec: str) -> ImageDataset | None:
        """The dataset of a spec; None if it cannot be opened."""
        if spec not in self._datasets:
            self._datasets[spec] = None
            try:
                self._datasets[spec] = open_dataset(spec)
            except InputError as error:
                self.missing[spec] = str(error)
        return self._datasets[spec]

    def of_classes(self, spec: str, classes: Sequence[str]) -> list[str | None]:
        """The address of one image of each class; None for a class of which none can be read."""
        wanted = [name for name in dict.fromkeys(classes) if (spec, name) not in self._examples]
        dataset = self.dataset(spec) if wanted else None
        known = set() if dataset is None else set(dataset.classes)
        found = {} if dataset is None else dict(examples(dataset, [name for name in wanted if name in known]))
        for name in wanted:
            self._examples[spec, name] = encoded(found[name]) if name in found else None
        return [self._examples[spec, name] for name in classes]

    def holds(self, spec: str, ids: Sequence[str]) -> bool:
        """Whether a dataset can be opened, and has all of some images."""
        return all(id_ in self._places(spec) for id_ in ids)

    def of_images(self, spec: str, ids: Sequence[str]) -> list[str | None]:
        """The address of each image by its id; None for one that is not there, or cannot be read."""
        dataset = self.dataset(spec)
        if dataset is None:
            return [None] * len(ids)
        places = [self._places(spec).get(id_) for id_ in ids]
        images = [None if place is None else thumbnail(dataset, place) for place in places]
        return [None if image is None else encoded(image) for image in images]

    def _places(self, spec: str) -> Mapping[str, int]:
        """The position of each image by its id; empty for a dataset that cannot be opened."""
        if spec not in self._positions:
            dataset = self.dataset(spec)
            self._positions[spec] = {} if dataset is None else {id_: i for i, id_ in enumerate(dataset.ids)}
        return self._positions[spec]

    def of_groups(self, spec: str, groups: Mapping[str, NDArray[np.int64]]) -> dict[str, list[str]]:
        """The addresses of the readable ones of the images at some positions of a dataset, group by group."""
        dataset = self.dataset(spec)
        if dataset is None:
            return {name: [] for name in groups}
        images = {name: [thumbnail(dataset, int(place)) for place in places] for name, places in groups.items()}
        return {name: [encoded(one) for one in found if one is not None] for name, found in images.items()}
