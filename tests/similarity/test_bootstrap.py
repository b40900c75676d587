"""Redrawn means against the distribution that they are to have; the interval's coverage."""

import numpy as np

from similarity import emd
from similarity.bootstrap import MeanSampler, basic_interval


def test_redrawn_means_have_the_mean_variance_and_correlation_of_a_sample_mean(make_bank):
    within = np.array([[4.0, 1.5], [1.5, 1.0]])
    bank = make_bank([[0.0, 5.0], [1.0, 2.0]], [11, 101], variances=[[4.0, 1.0], [8.0, 2.0]], within=within)
    sampler, rng = MeanSampler(bank), np.random.default_rng(0)
    draws = np.stack([sampler.draw(rng) for _ in range(20_000)])
    np.testing.assert_allclose(draws.mean(axis=0), bank.means, atol=0.02)  # 5 standard errors
    np.testing.assert_allclose(draws.var(axis=0), [[0.4, 0.1], [0.08, 0.02]], rtol=0.05)
    for i in range(2):
        assert abs(np.corrcoef(draws[:, i].T)[0, 1] - 0.75) < 0.02


def test_a_class_of_one_image_borrows_the_pooled_variance(make_bank):
    bank = make_bank([[0.0, 0.0]], [1], variances=[[0.0, 0.0]], within=np.diag([4.0, 9.0]))
    sampler, rng = MeanSampler(bank), np.random.default_rng(0)
    draws = np.stack([sampler.draw(rng)[0] for _ in range(20_000)])
    np.testing.assert_allclose(draws.var(axis=0), [4.0, 9.0], rtol=0.05)


def test_features_that_never_vary_stay_still(make_bank):
    bank = make_bank([[1.0, 2.0]], [5], variances=[[0.0, 1.0]], within=np.diag([0.0, 1.0]))
    drawn = MeanSampler(bank).draw(np.random.default_rng(0))
    assert drawn[0, 0] == 1.0 != drawn[0, 1]


def test_interval_reflects_and_holds_the_value():
    replicates = np.linspace(10.0, 14.0, 401)
    assert basic_interval(11.0, replicates) == (22 - 13.9, 22 - 10.1)
    low, high = basic_interval(9.0, replicates)  # noise only adds: all of the reflection lies below
    assert (low, high) == (18 - 13.9, 9.0)
    assert basic_interval(1.0, replicates)[0] == 0.0


def test_interval_holds_the_true_distance_in_most_samples(make_bank):
    """The bias is there (a plain percentile interval misses) and the interval stands it."""
    rng = np.random.default_rng(0)
    width, images = 20, 30
    sources, targets = rng.standard_normal((6, width)), rng.standard_normal((4, width)) + 0.3
    weights = np.ones(6), np.ones(4)
    truth = emd(sources, weights[0], targets, weights[1]).value
    held = percentile_held = 0
    for _ in range(40):
        banks = []
        for means in (sources, targets):
            sample = means[:, None] + 2 * rng.standard_normal((len(means), images, width))
            within = np.cov((sample - sample.mean(axis=1, keepdims=True)).reshape(-1, width).T, bias=True)
            banks.append(
                make_bank(sample.mean(axis=1), [images] * len(means), variances=sample.var(axis=1), within=within)
            )
        source, target = banks
        value = emd(source.means, source.counts, target.means, target.counts).value
        samplers = MeanSampler(source), MeanSampler(target)
        replicates = np.array(
            [emd(samplers[0].draw(rng), source.counts, samplers[1].draw(rng), target.counts).value for _ in range(100)]
        )
        low, high = basic_interval(value, replicates)
        held += low <= truth <= high
        percentile_held += np.quantile(replicates, 0.025) <= truth <= np.quantile(replicates, 0.975)
    assert held >= 32  # of 40; at a coverage of 90 % fewer happen once in 70
    assert percentile_held < 20
