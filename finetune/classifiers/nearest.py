"""Classification by the nearest class mean, or by the nearest training images.

Sources: Kang et al., ICLR 2020 (nearest class mean); Wu et al., "Unsupervised Feature Learning via Non-Parametric
Instance Discrimination", CVPR 2018, section 3.4 (nearest neighbours); Guo et al., ICML 2017, section 4 (temperature).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from features.infrastructure.errors import InputError
from finetune.classifiers.feature_classifier import FeatureClassifier
from finetune.classifiers.second_stage import FittedHead, FittingInputs, SecondStage, Space
from similarity.distances import pairwise_distances
from similarity.geometry import Geometry

if TYPE_CHECKING:
    from typing_extensions import Self

_COSINE = Geometry("cosine", unit_length=True)

#: Scores that a temperature is fitted to at most, some 32 MB: it is one number.
_FITTED = 1 << 22


@dataclass(eq=False)
class NearestClassMean(FeatureClassifier):
    """The class whose mean feature is nearest; the score is minus the Euclidean distance.

    Args:
        space: ``"cosine"`` measures between vectors scaled to length 1, which ranks as the cosine does; ``"euclidean"``
            between the vectors themselves; ``"centred"`` between vectors less the mean training feature, of length 1.

    Attributes:
        means_: (C, D) mean of the training features of each class, not normalised.
        centre_: (D,) the mean training feature, None in the other spaces.
    """

    space: Space = "cosine"

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        if self.space not in get_args(Space):
            raise ValueError(f"space must be one of {', '.join(get_args(Space))}, got {self.space!r}")
        counts = np.bincount(labels, minlength=n_classes)
        sums = torch.zeros(n_classes, features.shape[1], dtype=torch.float64)
        sums.index_add_(0, torch.from_numpy(labels), torch.from_numpy(features).double())
        self.means_ = sums.numpy() / np.maximum(counts, 1)[:, None]
        self._present = counts > 0
        self.centre_ = features.mean(axis=0, dtype=np.float64) if self.space == "centred" else None
        self._geometry = Geometry(self.space, centre=self.centre_, unit_length=self.space != "euclidean")
        self._anchors = self._geometry.points(self.means_)

    def _score(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        distances = pairwise_distances(self._geometry.points(features), self._anchors)
        return np.where(self._present, -distances, -np.inf)

    def softmax_scale(self, features: ArrayLike, labels: ArrayLike) -> float:
        """The s > 0 for which softmax(−s·d²) has the least cross-entropy, d being the distance to each class mean.

        In the spaces of unit length d² = 2 − 2·cosine, so that this is the softmax of 2·s times the cosine.
        Each image is left out of the mean of its own class, or it would be nearer than an unseen one; the only image of
        a class does not count. If no class has two images, s is 1. The arguments are those of ``fit``.
        """
        rows, truth = np.asarray(features), np.asarray(labels)
        images = np.bincount(truth)[truth]
        chosen = np.flatnonzero(images > 1)
        most = max(1, _FITTED // len(self.means_))
        if len(chosen) > most:
            chosen = np.random.default_rng(0).choice(chosen, most, replace=False)
        if not len(chosen):
            return 1.0
        rows, truth, images = rows[chosen].astype(np.float64), truth[chosen], images[chosen, None]
        others = (images * self.means_[truth] - rows) / (images - 1)
        squares = np.square(self.scores(rows))
        apart = self._geometry.points(rows) - self._geometry.points(others)
        own = np.einsum("nd,nd->n", apart, apart)
        squares[np.arange(len(rows)), truth] = own
        typical = squares[np.isfinite(squares)].mean()
        if not typical > 0:
            return 1.0

        def cross_entropy(log_scale: float) -> float:
            scale = np.exp(log_scale)
            return float((scale * own + logsumexp(-scale * squares, axis=1)).mean())

        # from nearly the same score for every class to one that has all of it
        bounds = np.array([-3.0, 8.0]) - np.log(typical)
        return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


@dataclass(eq=False)
class NearestNeighbours(FeatureClassifier):
    """The vote of the k training images with the highest cosine, each with the weight exp(cosine/T).

    The scores are the shares of the vote: they sum to 1, and most are exactly 0.

    Args:
        k: Neighbours that vote; all images if there are fewer.
        temperature: T; 0.07 is the paper's.

    Attributes:
        points_: (M, D) float32, the training features scaled to length 1.
        labels_: (M,) their classes.
    """

    k: int = 20
    temperature: float = 0.07

    @classmethod
    def of(
        cls, points: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int, k: int, temperature: float
    ) -> Self:
        """A fitted one from its ``points_`` and ``labels_``, which are not copied."""
        fitted = cls(k, temperature)
        fitted.points_, fitted.labels_ = points, labels
        fitted.n_classes_, fitted.n_features_ = n_classes, points.shape[1]
        return fitted

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        self.points_, self.labels_ = _COSINE.points(features).astype(np.float32), labels

    def _score(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        import faiss

        # faiss has threads of its own, which a forked process such as a data loader's worker must not wait for
        faiss.omp_set_num_threads(torch.get_num_threads())
        k, classes = min(self.k, len(self.labels_)), self.n_classes_
        unit = _COSINE.points(features).astype(np.float32)
        cosines, found = faiss.knn(unit, self.points_, k, metric=faiss.METRIC_INNER_PRODUCT)
        votes = np.exp((cosines - cosines[:, :1]).astype(np.float64) / self.temperature)
        cells = np.arange(len(features))[:, None] * classes + self.labels_[found]
        tally = np.bincount(cells.ravel(), weights=votes.ravel(), minlength=len(features) * classes)
        return tally.reshape(len(features), classes) / votes.sum(axis=1, keepdims=True)


def _nearest_mean(inputs: FittingInputs) -> FittedHead:
    """The nearest class mean as a head."""
    dataset, space = inputs.dataset, inputs.space
    features, labels = inputs.features_of(dataset)
    absent = np.flatnonzero(np.bincount(labels, minlength=len(dataset.classes)) == 0)
    if len(absent):
        more = f" (and {len(absent) - 1} more of {len(dataset.classes)})" if len(absent) > 1 else ""
        raise InputError(
            f"{dataset.spec}: class {dataset.classes[absent[0]]!r}{more} has no training image that can be read, and "
            f"so no mean for `method` ncm; leave the class out, or use another `method`"
        )
    fitted = NearestClassMean(space).fit(features, labels, len(dataset.classes))
    means, scale = fitted.means_, fitted.softmax_scale(features, labels)
    if space == "euclidean":
        # −|x − m|² = 2·m·x − |m|² − |x|², whose last term all classes share: the scale moves into the weights.
        return FittedHead.linear(2 * scale * means, -scale * np.einsum("cd,cd->c", means, means))
    if fitted.centre_ is None:
        return FittedHead("cosine", {"weight": means}, 2 * scale)
    return FittedHead("centred-cosine", {"weight": means - fitted.centre_, "centre": fitted.centre_}, 2 * scale)


def _neighbours(inputs: FittingInputs) -> FittedHead:
    fitted = NearestNeighbours().fit(*inputs.features_of(inputs.dataset), len(inputs.dataset.classes))
    votes = {"k": fitted.k, "temperature": fitted.temperature}
    return FittedHead("knn", {"features": fitted.points_, "labels": fitted.labels_, **votes})


NCM = SecondStage(
    "ncm",
    "the class with the nearest mean feature (nearest class mean), by the cosine or in another `space`",
    _nearest_mean,
    options=frozenset({"space"}),
    balanced=True,
)
KNN = SecondStage(
    "knn",
    "the vote of the 20 training images with the largest cosine c, each weighted by exp(c/0.07)",
    _neighbours,
)
