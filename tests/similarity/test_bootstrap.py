"""Redrawn means against the distribution that they are to have."""

import numpy as np

from similarity.bootstrap import MeanSampler, covariance_factor


def test_redrawn_means_have_the_mean_variance_and_correlation_of_a_sample_mean(make_bank):
    within = np.array([[4.0, 1.5], [1.5, 1.0]])
    bank = make_bank([[0.0, -5.0], [1.0, 2.0]], [11, 101], variances=[[4.0, 1.0], [8.0, 2.0]], within=within)
    sampler, rng = MeanSampler(bank), np.random.default_rng(0)
    draws = np.stack([sampler.draw(rng) for _ in range(20_000)])
    np.testing.assert_allclose(draws.mean(axis=0), bank.means, atol=0.02)  # 5 standard errors
    np.testing.assert_allclose(draws.var(axis=0), [[0.4, 0.1], [0.08, 0.02]], rtol=0.05)
    for i in range(2):
        assert abs(np.corrcoef(draws[:, i].T)[0, 1] - 0.75) < 0.02


def test_a_class_of_one_image_borrows_the_pooled_variance(make_bank):
    bank = make_bank([[0.0, -1.0]], [1], variances=[[0.0, 0.0]], within=np.diag([4.0, 9.0]))
    sampler, rng = MeanSampler(bank), np.random.default_rng(0)
    draws = np.stack([sampler.draw(rng)[0] for _ in range(20_000)])
    np.testing.assert_allclose(draws.var(axis=0), [4.0, 9.0], rtol=0.05)


def test_features_that_never_vary_stay_still(make_bank):
    bank = make_bank([[1.0, 2.0]], [5], variances=[[0.0, 1.0]], within=np.diag([0.0, 1.0]))
    drawn = MeanSampler(bank).draw(np.random.default_rng(0))
    assert drawn[0, 0] == 1.0 != drawn[0, 1]


def test_features_that_are_nowhere_negative_stay_so(make_bank):
    drawn = [make_bank(means, [2]) for means in ([[0.1, 3.0]], [[-0.1, 3.0]])]
    draws = [[MeanSampler(bank).draw(np.random.default_rng(seed))[0, 0] for seed in range(50)] for bank in drawn]
    assert min(draws[0]) == 0 > min(draws[1])


def test_factor_of_a_covariance_short_of_rank():
    root = np.random.default_rng(0).standard_normal((6, 3))
    covariance = (root @ root.T).astype(np.float32)
    factor = covariance_factor(covariance)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=2e-4 * covariance.max())  # the jitter's share
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance_factor(covariance, correlation=True)
    np.testing.assert_allclose(scale[:, None] * correlation, factor, rtol=1e-6)
    assert covariance_factor(np.zeros((2, 2)))[0, 0] == 0
