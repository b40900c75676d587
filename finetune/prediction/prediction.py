"""The predicted classes of a dataset's images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.infrastructure.names import as_text
from features.infrastructure.storage.addresses import Location
from finetune.prediction.ranked_classes import RankedClasses

#: An image whose two most probable classes are less than this apart is unsure.
UNSURE = 0.1
#: Rows that are made at once.
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Prediction:
    """The K most probable classes of each of N images, in the dataset's order.

    Attributes:
        out: The file of the predictions.
        features: The file of the features; None if there is none.
        ids: (N,) the images.
        names: (C,) class names of the model.
        classes: (N, K) int32, class numbers, the most probable first; −1 for an unreadable image.
        probabilities: (N, K) float32; NaN for an unreadable image.
        margins: (N,) float32, the largest probability less the second; NaN for an unreadable image.
        labels: (N,) names of the true classes; None if the dataset has no labels.
        unreadable: Unreadable images, as (id, reason).
    """

    out: Location
    features: Location | None
    ids: NDArray[np.object_]
    names: NDArray[np.object_]
    classes: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    margins: NDArray[np.float32]
    labels: NDArray[np.object_] | None
    unreadable: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, ranked: RankedClasses, dataset: ImageDataset, **others: Any) -> Prediction:
        """The prediction of a dataset whose readable images are ``ranked``; ``others`` are the remaining fields."""
        shape = len(dataset), ranked.classes.shape[1]
        classes, probabilities = np.full(shape, -1, np.int32), np.full(shape, np.nan, np.float32)
        margins = np.full(len(dataset), np.nan, np.float32)
        classes[ranked.positions], probabilities[ranked.positions] = ranked.classes, ranked.probabilities
        margins[ranked.positions] = ranked.margins
        ids = np.array(list(dataset.ids), dtype=object)
        return cls(ids=ids, classes=classes, probabilities=probabilities, margins=margins, **others)

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the columns of the file for some rows at a time: texts or None, and float32 or NaN."""
        names = np.array([*self.names, None], dtype=object)  # −1 points to None
        reason = {id_: as_text(why) for id_, why in self.unreadable}
        for start in range(0, len(self), _CHUNK):
            rows = slice(start, start + _CHUNK)
            classes, probabilities = names[self.classes[rows]], self.probabilities[rows]
            found = {"image": self.ids[rows], "class": classes[:, 0], "probability": probabilities[:, 0]}
            found["margin"] = self.margins[rows]
            for k in range(1, classes.shape[1]):
                found |= {f"class_{k + 1}": classes[:, k], f"probability_{k + 1}": probabilities[:, k]}
            if self.labels is not None:
                found["label"] = self.labels[rows]
            found["error"] = np.array([None] * len(classes), dtype=object)
            for row in np.flatnonzero(self.classes[rows, 0] < 0):
                found["error"][row] = reason[found["image"][row]]
            yield found

    def frequent(self) -> list[tuple[str, int, float]]:
        """Every class that was predicted, its number of images and their mean probability; the most frequent first."""
        known = self.classes[:, 0] >= 0
        first, probability = self.classes[known, 0], self.probabilities[known, 0]
        numbers, place, images = np.unique(first, return_inverse=True, return_counts=True)
        mean = np.bincount(place, weights=probability) / images
        order = np.lexsort((numbers, -images))
        return [(str(self.names[numbers[i]]), int(images[i]), float(mean[i])) for i in order]

    @property
    def unsure(self) -> int:
        """Number of images whose two most probable classes are less than :data:`UNSURE` apart."""
        return int((self.margins < UNSURE).sum())

    def to_json(self) -> dict[str, Any]:
        """The files, the numbers of images, and every predicted class with its images and their mean probability."""
        classes = [{"class": name, "images": n, "probability": mean} for name, n, mean in self.frequent()]
        return {
            "predictions": str(self.out),
            "features": None if self.features is None else str(self.features),
            "images": len(self),
            "unreadable": len(self.unreadable),
            "unsure": self.unsure,
            "classes": classes,
        }
