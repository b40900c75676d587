"""TransRate against determinants of D × D matrices, class by class."""

import numpy as np
import pytest

from similarity.measures import transrate


def looped(features, labels, epsilon):
    z = features - features.mean(axis=0)
    z = z / np.sqrt(np.mean(np.sum(z**2, axis=1)))

    def rate(rows):
        return 0.5 * np.linalg.slogdet(np.eye(rows.shape[1]) + rows.T @ rows / (len(rows) * epsilon))[1]

    share = [np.mean(labels == c) for c in np.unique(labels)]
    return rate(z) - sum(s * rate(z[labels == c]) for s, c in zip(share, np.unique(labels), strict=True))


@pytest.mark.parametrize("width", [3, 12, 80])
@pytest.mark.parametrize("epsilon", [1e-4, 0.1])
def test_against_the_loop(clusters, width, epsilon):
    features, labels = clusters(np.random.default_rng(1).standard_normal((5, width)), [30, 14, 9, 4, 1])
    value = transrate(features, labels, epsilon=epsilon)
    assert value == pytest.approx(looped(features, labels, epsilon), rel=1e-9)


def test_blocks_of_classes_change_nothing(clusters, monkeypatch):
    features, labels = clusters(np.random.default_rng(1).standard_normal((9, 12)), [30, 14, 9, 4, 1, 2, 2, 40, 3])
    whole = transrate(features, labels)
    monkeypatch.setattr("similarity.measures.grouping._BLOCK", 100)
    assert transrate(features, labels) == pytest.approx(whole, rel=1e-12)


def test_equal_classes_make_it_the_mean_over_classes(clusters):
    """As in the authors' code, which does not weigh."""
    features, labels = clusters(np.random.default_rng(1).standard_normal((3, 5)), [10] * 3)
    z = features - features.mean(axis=0)
    z /= np.sqrt(np.square(z).sum(axis=1).mean())
    rates = [
        0.5 * np.linalg.slogdet(np.eye(5) + r.T @ r / (len(r) * 1e-4))[1]
        for r in (z, *(z[labels == c] for c in range(3)))
    ]
    assert transrate(features, labels) == pytest.approx(rates[0] - np.mean(rates[1:]), rel=1e-10)


def test_laws(clusters):
    features, labels = clusters(np.random.default_rng(1).standard_normal((3, 12)), [14, 12, 10])
    value = transrate(features, labels)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))[0]
    assert transrate(40 * features @ rotation + 3, labels) == pytest.approx(value, rel=1e-9)
    assert value > transrate(features, np.random.default_rng(0).permutation(labels)) >= 0


def test_images_that_all_coincide():
    assert transrate(np.ones((6, 3)), np.array([0, 0, 0, 1, 1, 1])) == 0


def test_what_is_refused(clusters):
    features, labels = clusters(np.eye(2), [4, 4])
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        transrate(features, labels, epsilon=0)
