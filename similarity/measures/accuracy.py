"""Accuracy of simple classifiers on the target's features, which other measures approximate."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from features.infrastructure.errors import InputError
from similarity.distances import inner_product_index
from similarity.geometry import Geometry
from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.evidence import Evidence
from similarity.measures.sampling import sample

#: Neighbours that vote.
NEIGHBOURS = 5
#: Most images that are classified by their neighbours; the standard error of their accuracy is at most 0.005.
_MOST_QUERIES = 10_000
#: Most images for the linear probe, training and test together. With 1280 features and 200 classes 5,000 images take a
#: quarter of a minute, and 10,000 five times that.
_MOST_PROBED = 5_000
_COSINE = Geometry("cosine", unit_length=True)


def knn_accuracy(features: ArrayLike, labels: ArrayLike, *, k: int = NEIGHBOURS, seed: int = 0) -> float:
    """Leave-one-out accuracy of k-nearest-neighbour classification by cosine similarity.

    The class with the most votes wins; the larger sum of cosines breaks ties. The search is exact, in float32. An image
    is not its own neighbour, but another image with equal features is.

    Args:
        features: (N, D). Every image is a candidate neighbour; at most 10,000 random ones are classified.
        labels: (N,) integers, of at least two classes.
        k: Neighbours that vote, at least 1; at most N − 1 are used.
        seed: Seed of the random sample.

    Returns:
        The share of images classified correctly, 0 to 1.

    Raises:
        ValueError: Features or labels are malformed, or ``k`` is less than 1.
    """
    rows = checked_features(features)
    truth, _ = checked_labels(labels, len(rows))
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    queries = sample(rows, _MOST_QUERIES, seed)
    points = _COSINE.points(rows).astype(np.float32)
    k = min(k, len(rows) - 1)
    cosines, found = inner_product_index(points).search(points[queries], k + 1)
    # Remove the image itself from the k + 1, or the last one if images with equal features have displaced it.
    itself = found == queries[:, None]
    itself[~itself.any(axis=1), -1] = True
    cosines, found = (of[~itself].reshape(len(queries), k) for of in (cosines.astype(np.float64), found))
    same = truth[found][:, :, None] == truth[found][:, None, :]
    # The sum of k cosines lies in [−k, k], so one vote outweighs every difference between two sums.
    score = same.sum(axis=2) * (2 * k + 1) + np.einsum("nij,nj->ni", same, cosines)
    winner = np.take_along_axis(truth[found], score.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((winner == truth[queries]).mean())


def linear_probe(
    features: ArrayLike, labels: ArrayLike, *, folds: int = 5, most: int = _MOST_PROBED, seed: int = 0
) -> float:
    """Cross-validated accuracy of multinomial logistic regression on standardised features.

    The penalty is scikit-learn's default (C = 1), and folds are stratified by class. A class of one image is never in
    the training and the test fold, and counts as an error.

    Args:
        features: (N, D).
        labels: (N,) integers, of at least two classes, one of them with at least two images.
        folds: Number of folds, at least 2; at most as many as the largest class has images are used.
        most: Largest number of images; a random sample of larger sets.
        seed: Seed of the random sample and the folds.

    Returns:
        The share of images classified correctly, 0 to 1.

    Raises:
        ValueError: Features or labels are malformed, no class has two images, or ``folds`` is less than 2.
    """
    rows = checked_features(features)
    truth, _ = checked_labels(labels, len(rows))
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    kept = sample(rows, most, seed)  # even if all are kept: the order decides the folds
    rows, truth = rows[kept], truth[kept]
    folds = min(folds, int(np.bincount(truth).max()))
    if folds < 2:
        raise ValueError("labels must hold a class of at least 2 images, one to train on and one to test on")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    right = 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, truth))
    for train, test in splits:
        known = np.unique(truth[train])
        if len(known) == 1:
            right += int((truth[test] == known[0]).sum())
            continue
        scaler = StandardScaler().fit(rows[train])
        model = LogisticRegression(max_iter=1000).fit(scaler.transform(rows[train]), truth[train])
        right += int((model.predict(scaler.transform(rows[test])) == truth[test]).sum())
    return right / len(truth)


def _linear_probe(evidence: Evidence) -> float:
    features, labels = evidence.labelled
    if len(set(labels.tolist())) == len(labels):
        raise InputError(
            f"{evidence.target.name}: keeps one image of each class, none to test on; extract at least two"
        )
    return linear_probe(features, labels, seed=evidence.seed)


KNN = Measure(
    name="knn",
    meaning="leave-one-out accuracy of the 5 nearest neighbours by cosine",
    needs=frozenset({"target images"}),
    direction="higher",
    function=lambda evidence: knn_accuracy(*evidence.labelled, seed=evidence.seed),
)
LINEAR_PROBE = Measure(
    name="linear-probe",
    meaning="cross-validated accuracy of logistic regression",
    needs=frozenset({"target images"}),
    direction="higher",
    function=_linear_probe,
)
