"""Accuracy of simple classifiers on the target's features: what many a measure approximates."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from similarity.geometry import Geometry
from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.sampling import sample

#: Neighbours that vote.
NEIGHBOURS = 5
#: Images that are classified by their neighbours at most; the standard error of their accuracy is below 0.005.
_MOST_QUERIES = 10_000
#: Images that the linear probe learns from and is tested on at most: with 1280 features and 200 classes it takes a
#: quarter of a minute for so many, five times that for twice as many.
_MOST_PROBED = 5_000
_COSINE = Geometry("cosine", unit_length=True)


def knn_accuracy(features: ArrayLike, labels: ArrayLike, *, k: int = NEIGHBOURS, seed: int = 0) -> float:
    """Leave-one-out accuracy of the vote of each image's k nearest others by cosine.

    The class with the most votes wins; of equal ones that with the larger sum of cosines. The search is exact, in
    float32. An image that coincides with another is its neighbour; itself it is not.

    Args:
        features: (N, D). All are neighbours; of more than 10,000, so many drawn by chance are classified.
        labels: (N,) integers, of at least two classes.
        k: Neighbours that vote, at least 1; all others where there are fewer.
        seed: Of the draw.

    Returns:
        A share of the images, 0 to 1.

    Raises:
        ValueError: Features or labels are malformed, or ``k`` is less than 1.
    """
    rows = checked_features(features)
    truth, _ = checked_labels(labels, len(rows))
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    import faiss

    queries = sample(rows, _MOST_QUERIES, seed)
    points = _COSINE.points(rows).astype(np.float32)
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    k = min(k, len(rows) - 1)
    cosines, found = index.search(points[queries], k + 1)
    # One of the k + 1 goes: the image itself, or the last where others that coincide with it have pushed it out.
    itself = found == queries[:, None]
    itself[~itself.any(axis=1), -1] = True
    cosines, found = (of[~itself].reshape(len(queries), k) for of in (cosines.astype(np.float64), found))
    same = truth[found][:, :, None] == truth[found][:, None, :]
    # All cosines together are at most k, so a vote more always wins.
    score = same.sum(axis=2) * (2 * k + 1) + np.einsum("nij,nj->ni", same, cosines)
    winner = np.take_along_axis(truth[found], score.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((winner == truth[queries]).mean())


def linear_probe(
    features: ArrayLike, labels: ArrayLike, *, folds: int = 5, most: int = _MOST_PROBED, seed: int = 0
) -> float:
    """Cross-validated accuracy of multinomial logistic regression on standardised features.

    scikit-learn's default penalty (C = 1), folds stratified by class. A class of one image is never in both parts,
    and counts as a mistake.

    Args:
        features: (N, D).
        labels: (N,) integers, of at least two classes, one of them of at least two images.
        folds: Parts that are tested in turn, at least 2; as many as the largest class has images where that is
            fewer.
        most: Images at most; of more, so many drawn by chance.
        seed: Of the draw and the folds.

    Returns:
        A share of the images, 0 to 1.

    Raises:
        ValueError: Features or labels are malformed, no class has two images, or ``folds`` is less than 2.
    """
    rows = checked_features(features)
    truth, _ = checked_labels(labels, len(rows))
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    kept = sample(rows, most, seed)  # also where all are kept: the order decides who goes into which fold
    rows, truth = rows[kept], truth[kept]
    folds = min(folds, int(np.bincount(truth).max()))
    if folds < 2:
        raise ValueError("labels must hold a class of at least 2 images, one to learn from and one to test on")
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
