"""Source class probabilities against the rule of Bayes."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from features.infrastructure.errors import InputError
from similarity.measures import source_posterior


def test_source_posterior_is_the_rule_of_bayes(clusters, image_bank, monkeypatch):
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((5, 5))
    features, labels = clusters(2 * rng.standard_normal((4, 5)), [40, 25, 10, 3])
    bank = image_bank(features @ mixing + 10, labels, dataset="folder:source", keep=False)
    target = 3 * rng.standard_normal((20, 5)) @ mixing + 10
    within = bank.within_covariance.astype(float)
    covariance = within + np.eye(5) * np.linalg.eigvalsh(within).mean()
    likelihood = np.stack([multivariate_normal.logpdf(target, mean, covariance) for mean in bank.means], axis=1)
    joint = np.exp(likelihood) * bank.counts / bank.counts.sum()
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(source_posterior(target, bank), expected, rtol=1e-7)
    monkeypatch.setattr("similarity.measures.source_classifier._BLOCK", 15)
    np.testing.assert_allclose(source_posterior(target, bank), expected, rtol=1e-7)


def test_source_posterior_far_away_and_of_one_class(clusters, image_bank):
    features, labels = clusters(np.eye(3), [10] * 3)
    posterior = source_posterior(1e6 * np.ones((4, 3)), image_bank(features, labels))
    assert np.isfinite(posterior).all()
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    one = image_bank(features[labels == 0], np.zeros(10), dataset="folder:one")
    np.testing.assert_array_equal(source_posterior(features, one), 1)


def test_source_posterior_refuses(clusters, image_bank):
    features, labels = clusters(np.eye(3), [1] * 3)
    with pytest.raises(InputError, match="folder:single: the images of a class do not vary"):
        source_posterior(features, image_bank(features, labels, dataset="folder:single"))
    with pytest.raises(ValueError, match="must have the 3 columns of the source, got 2"):
        source_posterior(features[:, :2], image_bank(features, labels))
