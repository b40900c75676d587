"""Classification by what lies nearest: class means, or training images.

Sources: Kang et al., ICLR 2020 (nearest class mean); Wu et al., "Unsupervised Feature Learning via
Non-Parametric Instance Discrimination", CVPR 2018, section 3.4 (weighted nearest neighbours).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from finetune.classifiers.base import FeatureClassifier
from similarity.distance import pairwise_distances
from similarity.geometry import Geometry

Space = Literal["cosine", "euclidean", "centred"]

_COSINE = Geometry("cosine", unit_length=True)


class NearestClassMean(FeatureClassifier):
    """The class whose mean feature is nearest; the score is minus the Euclidean distance.

    Args:
        space: Where the distance is taken: ``"cosine"`` between vectors scaled to length 1, which
            ranks as the cosine does; ``"euclidean"`` between vectors as they are; ``"centred"``
            between vectors less the mean training feature, then scaled to length 1.

    Attributes:
        means_: (C, D) mean of the training features of each class, not normalised.
    """

    def __init__(self, space: Space = "cosine") -> None:
        self.space = space

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        if self.space not in get_args(Space):
            raise ValueError(f"space must be one of {', '.join(get_args(Space))}, got {self.space!r}")
        counts = np.bincount(labels, minlength=n_classes)
        sums = torch.zeros(n_classes, features.shape[1], dtype=torch.float64)
        sums.index_add_(0, torch.from_numpy(labels), torch.from_numpy(features).double())
        self.means_ = sums.numpy() / np.maximum(counts, 1)[:, None]
        self._present = counts > 0
        centre = features.mean(axis=0, dtype=np.float64) if self.space == "centred" else None
        self._geometry = Geometry(self.space, centre=centre, unit_length=self.space != "euclidean")
        self._anchors = self._geometry.points(self.means_)

    def _score(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        distances = pairwise_distances(self._geometry.points(features), self._anchors)
        return np.where(self._present, -distances, -np.inf)


class NearestNeighbours(FeatureClassifier):
    """The vote of the k training images with the highest cosine, each with the weight exp(cosine/T).

    Args:
        k: Neighbours that vote; all where there are fewer.
        temperature: T; 0.07 is the paper's.

    Note:
        The scores are the shares of the vote: they sum to 1, and most are exactly 0.
    """

    def __init__(self, k: int = 20, temperature: float = 0.07) -> None:
        self.k = k
        self.temperature = temperature

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        import faiss

        self._index = faiss.IndexFlatIP(features.shape[1])
        self._index.add(_COSINE.points(features).astype(np.float32))
        self._labels, self._classes = labels, n_classes

    def _score(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        k = min(self.k, len(self._labels))
        cosines, found = self._index.search(_COSINE.points(features).astype(np.float32), k)
        votes = np.exp((cosines - cosines[:, :1]).astype(np.float64) / self.temperature)
        cells = np.arange(len(features))[:, None] * self._classes + self._labels[found]
        tally = np.bincount(cells.ravel(), weights=votes.ravel(), minlength=len(features) * self._classes)
        return tally.reshape(len(features), self._classes) / votes.sum(axis=1, keepdims=True)
