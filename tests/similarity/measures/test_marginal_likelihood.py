"""LogME against the marginal likelihood itself, maximised by SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from similarity.measures import logme


def maximised(features, labels):
    """y ~ N(0, I/β + F·Fᵀ/α), maximised over α and β from several starts: no formula is shared with the code."""
    images = len(features)
    gram = features @ features.T
    best = []
    for c in np.unique(labels):
        y = (labels == c).astype(float)

        def loss(x, y=y):
            covariance = np.exp(-x[1]) * np.eye(images) + np.exp(-x[0]) * gram
            return -multivariate_normal.logpdf(y, np.zeros(images), covariance) / images

        starts = [(a, b) for a in (-2.0, 2.0, 6.0) for b in (0.0, 3.0)]
        found = [
            minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}) for start in starts
        ]
        best.append(-min(result.fun for result in found))
    return np.mean(best)


@pytest.mark.parametrize(("width", "spread"), [(3, 0.5), (12, 1.0), (12, 0.3), (80, 1.0), (80, 4.0)])
def test_against_the_maximum_of_the_marginal_likelihood(clusters, width, spread):
    features, labels = clusters(np.random.default_rng(1).standard_normal((3, width)), [14, 12, 10], spread=spread)
    assert logme(features, labels) == pytest.approx(maximised(features, labels), abs=1e-6)


def test_features_without_a_signal(clusters):
    """α goes to infinity: the evidence tends to that of noise alone, which no maximum falls below."""
    rng = np.random.default_rng(3)
    labels = np.arange(300) % 3
    features = rng.standard_normal((300, 4))
    share = 1 / 3
    noise = -0.5 * (np.log(2 * np.pi * share) + 1)
    assert noise - 1e-7 <= logme(features, labels) < noise + 0.02  # the last steps to infinity gain nothing
    assert logme(np.zeros((300, 4)), labels) == pytest.approx(noise, rel=1e-12)
    assert logme(1e-3 * features, labels) == pytest.approx(logme(features, labels), rel=1e-9)


def test_laws(clusters):
    features, labels = clusters(np.random.default_rng(1).standard_normal((3, 12)), [14, 12, 10])
    value = logme(features, labels)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))[0]
    assert logme(40 * features @ rotation, labels) == pytest.approx(value, rel=1e-9)
    padded = np.hstack([features, np.zeros((36, 50))])
    assert logme(padded, labels) == pytest.approx(value, rel=1e-9)  # the wide route, with the same answer
    assert logme(features, np.array([10, -3, 7])[labels]) == pytest.approx(value, rel=1e-12)


def test_labels_that_are_a_linear_function_of_the_features_stay_finite():
    labels = np.repeat([0, 1, 2], 10)
    perfect = np.eye(3)[labels]
    value = logme(perfect, labels)
    assert np.isfinite(value)
    assert value <= 0.5 * -np.log(2 * np.pi * 1e-8)
    noisy = perfect + 0.01 * np.random.default_rng(0).standard_normal(perfect.shape)
    assert value > logme(noisy, labels) > logme(noisy, np.tile([0, 1, 2], 10))
