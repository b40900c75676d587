"""Labelled features, and banks that keep them."""

import numpy as np
import pytest

from features.bank import FeatureBank


@pytest.fixture
def clusters():
    """A function that draws labelled features around class means, (N, D) and (N,)."""

    def draw(means, counts, *, spread=1.0, seed=0):
        rng = np.random.default_rng(seed)
        means = np.asarray(means, dtype=np.float64)
        labels = rng.permutation(np.repeat(np.arange(len(means)), counts))
        return means[labels] + spread * rng.standard_normal((len(labels), means.shape[1])), labels

    return draw


@pytest.fixture
def image_bank(tmp_path):
    """A function that writes a bank of labelled features and, unless told otherwise, keeps them."""

    def write(features, labels, *, dataset="folder:target", keep=True, **attrs):
        features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.int64)
        classes = np.unique(labels)
        assert (classes == np.arange(len(classes))).all()
        of = [features[labels == c] for c in classes]
        means = np.stack([rows.mean(axis=0) for rows in of])
        away = features - means[labels]
        bank = FeatureBank(
            classes=tuple(f"class {c}" for c in classes),
            counts=np.array([len(rows) for rows in of], dtype=np.int64),
            means=means.astype(np.float32),
            variances=np.stack([rows.var(axis=0) for rows in of]).astype(np.float32),
            within_covariance=(away.T @ away / len(features)).astype(np.float32),
            attrs={
                "dataset": dataset,
                "backbone": "b",
                "weights_sha256": "w",
                "transform": "t",
                "pooling": "p",
                "complete": True,
                **attrs,
            },
        )
        number = len(list(tmp_path.glob("*.h5")))
        images = (features, labels, [str(i) for i in range(len(labels))]) if keep else None
        return bank.write(tmp_path / f"{number}.h5", images)

    return write


@pytest.fixture(params=["plain", "a column of zeros", "one image in a class", "coinciding images", "wide"])
def awkward(request, clusters):
    """Labelled features that something is the matter with."""
    width = 60 if request.param == "wide" else 6
    means = 3 * np.random.default_rng(1).standard_normal((4, width))
    features, labels = clusters(means, [12, 9, 8, 1 if request.param == "one image in a class" else 11])
    if request.param == "a column of zeros":
        features[:, 2] = 0
    if request.param == "coinciding images":
        features[5:15] = features[4]
    return features, labels
