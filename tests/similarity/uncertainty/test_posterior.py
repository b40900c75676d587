"""Drawn means against the posterior that they are to have."""

import numpy as np
import pytest

from similarity.uncertainty.posterior import MeanSampler
from similarity.uncertainty.sampling_error import MeanCloud


def cloud_of(points, error, within):
    factor = np.linalg.cholesky(within / np.trace(within))
    return MeanCloud(points, np.full(len(points), 1 / len(points)), error, factor, np.full(len(points), 1e9))


def draws_of(cloud, n, seed=1):
    sampler, generator = MeanSampler(cloud), np.random.default_rng(seed)
    return np.stack([sampler.draw(generator) for _ in range(n)])


def test_draws_have_the_posteriors_mean_variance_and_correlation():
    """Gaussian means of known spread: with 4000 classes it is estimated to 3 %."""
    rng = np.random.default_rng(0)
    within = np.array([[4.0, 1.5], [1.5, 1.0]])
    spread, centre = np.array([2.0, 0.5]), np.array([3.0, -5.0])
    size = rng.choice([0.1, 1.0], 4000)  # images: many, few
    error = size[:, None] * np.diag(within)
    truth = centre + np.sqrt(spread) * rng.standard_normal((4000, 2))
    points = truth + np.sqrt(size)[:, None] * (rng.standard_normal((4000, 2)) @ np.linalg.cholesky(within).T)
    draws = draws_of(cloud_of(points, size * np.trace(within), within), 400)
    share = spread / (spread + error)
    np.testing.assert_allclose(draws.mean(axis=0), centre + share * (points - centre), atol=0.4)
    assert (draws.mean(axis=0) - centre - share * (points - centre)).std() < 0.06
    for few in (size == 0.1, size == 1.0):
        expected = (share * error)[few].mean(axis=0)
        np.testing.assert_allclose(draws.var(axis=0)[few].mean(axis=0), expected, rtol=0.05)
        noise = (draws - draws.mean(axis=0))[:, few].reshape(-1, 2)
        assert np.corrcoef(noise.T)[0, 1] == pytest.approx(0.75, abs=0.02)


def test_draws_lie_as_far_from_each_other_as_the_true_means_not_as_the_sample_means():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((30, 50))
    points = truth + 1.5 * rng.standard_normal((30, 50))
    draws = draws_of(cloud_of(points, np.full(30, 50 * 1.5**2), np.eye(50)), 50)
    assert draws.var(axis=1).mean() == pytest.approx(truth.var(axis=0).mean(), rel=0.1)
    assert points.var(axis=0).mean() > 2.5 * truth.var(axis=0).mean()


def test_the_truth_lies_among_the_draws():
    """As one of them: its rank is uniform. So is that of the classes' mean, which the centre's draw widens."""
    rng = np.random.default_rng(0)
    ranks, of_mean = [], []
    for seed in range(20):
        truth = 0.5 * rng.standard_normal((12, 40))
        points = truth + rng.standard_normal((12, 40))
        draws = draws_of(cloud_of(points, np.full(12, 40.0), np.eye(40)), 99, seed)
        ranks.append((draws < truth).mean(axis=0))
        of_mean.append((draws.mean(axis=1) < truth.mean(axis=0)).mean(axis=0))
    for found, least in ((np.array(ranks), 0.82), (np.array(of_mean), 0.87)):  # 0.9, less what is not known of τ²
        assert found.mean() == pytest.approx(0.5, abs=0.04)
        assert least < ((found > 0.05) & (found < 0.95)).mean() < 0.93


def test_fewer_than_four_classes_are_not_drawn_towards_each_other():
    points = np.array([[0.0, 9.0], [1.0, 0.0], [0.5, 0.0]])
    draws = draws_of(cloud_of(points, np.full(3, 2.0), np.eye(2)), 20_000)
    np.testing.assert_allclose(draws.mean(axis=0), points, atol=0.05)
    np.testing.assert_allclose(draws.var(axis=0), 1, rtol=0.07)


def test_without_errors_the_means_are_known():
    points = np.random.default_rng(0).standard_normal((6, 3))
    for cloud in (cloud_of(points, np.zeros(6), np.eye(3)), cloud_of(points[:2], np.zeros(2), np.eye(3))):
        np.testing.assert_allclose(draws_of(cloud, 1)[0], cloud.points, rtol=1e-12)


def test_a_feature_that_never_varies_stays_still():
    points = np.random.default_rng(0).standard_normal((6, 2))
    for constant in (0.0, 2.0):
        points[:, 0] = constant
        factor = np.array([[0.0, 0.0], [0.0, 1.0]])
        cloud = MeanCloud(points, np.full(6, 1 / 6), np.ones(6), factor, np.full(6, 9.0))
        drawn = draws_of(cloud, 1)[0]
        assert (drawn[:, 0] == constant).all() and (drawn[:, 1] != points[:, 1]).all()


def test_classes_that_noise_alone_tells_apart_do_not_coincide():
    drawn = draws_of(cloud_of(np.zeros((6, 3)), np.ones(6), np.eye(3)), 1)[0]
    assert len(np.unique(drawn[:, 0])) == 6
