"""The H-score against its definition, and the shrinkage against scikit-learn's."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from similarity.measures import h_score


def between(features, labels):
    """cov(E[f|y]) with one row an image."""
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    return np.cov(means, rowvar=False, bias=True)


def test_the_plain_form_is_the_definition(clusters):
    features, labels = clusters(np.random.default_rng(0).standard_normal((4, 6)), [20, 15, 12, 9])
    expected = np.trace(np.linalg.inv(np.cov(features, rowvar=False, bias=True)) @ between(features, labels))
    assert h_score(features, labels, shrinkage=False) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("width", [6, 100])
def test_shrunk_with_scikit_learns_ledoit_wolf(clusters, width):
    features, labels = clusters(np.random.default_rng(0).standard_normal((4, width)), [20, 15, 12, 9])
    fitted = LedoitWolf().fit(features)
    assert 0 < fitted.shrinkage_ < 1
    expected = (1 - fitted.shrinkage_) * np.trace(np.linalg.solve(fitted.covariance_, between(features, labels)))
    assert h_score(features, labels) == pytest.approx(expected, rel=1e-9)


def test_where_images_are_few_the_plain_form_counts_classes(clusters):
    features, labels = clusters(np.random.default_rng(0).standard_normal((4, 100)), [20, 15, 12, 9])
    noise = np.arange(56) % 4
    assert h_score(features, noise, shrinkage=False) == pytest.approx(3, rel=1e-9)
    assert h_score(features, labels, shrinkage=False) == pytest.approx(3, rel=1e-9)
    assert h_score(features, noise) < h_score(features, labels) < 3


def test_laws(clusters):
    features, labels = clusters(np.random.default_rng(0).standard_normal((4, 6)), [20, 15, 12, 9])
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((6, 6)))[0]
    for shrinkage in (False, True):
        value = h_score(features, labels, shrinkage=shrinkage)
        assert h_score(3 * features @ rotation + 9, labels, shrinkage=shrinkage) == pytest.approx(value, rel=1e-9)
        assert 0 <= value <= 3
    mixing = np.random.default_rng(3).standard_normal((6, 6))
    plain = h_score(features, labels, shrinkage=False)
    assert h_score(features @ mixing, labels, shrinkage=False) == pytest.approx(plain, rel=1e-8)


def test_classes_far_apart_reach_the_bound(clusters):
    features, labels = clusters(1e4 * np.eye(4, 10), [30] * 4)
    assert h_score(features, labels, shrinkage=False) == pytest.approx(3, abs=1e-5)
    assert h_score(features, np.random.default_rng(0).permutation(labels)) < 1


def test_images_that_all_coincide():
    assert h_score(np.ones((6, 3)), np.array([0, 0, 0, 1, 1, 1])) == 0
