"""Expected sampling errors against the errors of samples that are drawn."""

from dataclasses import replace

import numpy as np
import pytest

from similarity import fit_geometry
from similarity.uncertainty.sampling_error import MeanCloud, covariance_factor, mean_clouds


def sampled_bank(make_bank, features, dataset="folder:source"):
    """The bank of (C, n, D) features."""
    centred = (features - features.mean(axis=1, keepdims=True)).reshape(-1, features.shape[2])
    return make_bank(
        features.mean(axis=1),
        [features.shape[1]] * len(features),
        variances=features.var(axis=1),
        within=centred.T @ centred / len(centred),
        dataset=dataset,
    )


@pytest.mark.parametrize("size", ["shared", "own"])
@pytest.mark.parametrize("geometry", ["euclidean", "cosine", "whitened", "sqrt-whitened"])
def test_errors_have_the_size_of_the_errors_of_other_samples(make_bank, geometry, size):
    """Of samples that the geometry was not fitted to: 20 classes × 6 images for 60 features, so it is overfitted.

    Most so to the classes that vary most, where each has a covariance of its own size.
    """
    rng = np.random.default_rng(0)
    width, classes, images = 60, 20, 6
    scale = rng.gamma(2.0, 1.0, width)
    if size == "own":
        scale = scale * np.exp(2 * rng.standard_normal((classes, 1, 1)) - 2)
    away = 4.0 if size == "shared" else 30.0  # from zero: the root is straight there
    shape = away + rng.gamma(2.0, 1.0, (classes, width))

    def draw(n):
        return shape[:, None] + 0.5 * np.sqrt(scale) * rng.standard_normal((classes, n, width))

    bank = sampled_bank(make_bank, draw(images))
    metric = fit_geometry(geometry, [bank], [bank])
    cloud = mean_clouds(metric, [bank])[0]
    before_length = replace(metric, unit_length=False)
    means = np.stack([draw(images).mean(axis=1) for _ in range(40)])
    moved = np.stack([before_length.points(m) for m in means]) - before_length.points(shape)
    assert cloud.error.mean() == pytest.approx(np.square(moved).sum(axis=2).mean(), rel=0.1)
    drawn = np.stack([cloud.draw_errors(rng) for _ in range(400)])
    np.testing.assert_allclose(np.square(drawn).sum(axis=2).mean(axis=0), cloud.error, rtol=0.15)
    sizes = np.stack([cloud.draw_error_sizes(rng) for _ in range(2000)])
    np.testing.assert_allclose(sizes.mean(axis=0), cloud.error, rtol=0.03)


def test_size_is_the_classs_own_and_shape_the_banks(make_bank):
    within = np.array([[4.0, 1.5], [1.5, 1.0]])
    bank = make_bank(np.zeros((2, 2)), [11, 101], variances=[[4.0, 1.0], [8.0, 2.0]], within=within)
    cloud = mean_clouds(fit_geometry("euclidean", [bank], [bank]), [bank])[0]
    np.testing.assert_allclose(cloud.error, [5 / 10, 10 / 100])
    np.testing.assert_allclose(cloud.factor @ cloud.factor.T, within / 5, atol=1e-4)
    np.testing.assert_allclose(cloud.weights, [11 / 112, 101 / 112])


def test_one_image_a_class_borrows(make_bank):
    within = np.diag([3.0, 1.0])
    known = make_bank(np.eye(2), [10, 10], variances=[[2.7, 0.9]] * 2, within=0.9 * within)
    single = make_bank(np.eye(2), [1, 1], variances=np.zeros((2, 2)), within=np.zeros((2, 2)))
    mixed = make_bank(np.eye(2), [1, 10], variances=[[0.0, 0.0], [2.7, 0.9]], within=0.9 * within)
    metric = fit_geometry("euclidean", [single], [known])
    np.testing.assert_allclose(mean_clouds(metric, [single, known])[0].error, [4, 4], rtol=1e-6)
    np.testing.assert_allclose(mean_clouds(metric, [mixed])[0].error, [4, 0.4], rtol=1e-6)
    assert not mean_clouds(metric, [single, single])[0].error.any()
    assert not mean_clouds(metric, [single, single])[0].draw_errors(np.random.default_rng(0)).any()


def test_sizes_vary_as_much_as_those_that_other_samples_estimate(make_bank):
    rng = np.random.default_rng(0)
    scale = np.sqrt(rng.gamma(2.0, 1.0, 30))
    banks = [sampled_bank(make_bank, scale * rng.standard_normal((20, 6, 30))) for _ in range(100)]
    metric = fit_geometry("euclidean", banks[:1], banks[:1])
    clouds = [mean_clouds(metric, [bank])[0] for bank in banks]
    estimates = np.stack([cloud.error for cloud in clouds])
    expected = estimates.var() / estimates.mean() ** 2
    drawn = np.stack([clouds[0].draw_error_sizes(rng) for _ in range(2000)])
    spread = (drawn.var(axis=0) / drawn.mean(axis=0) ** 2).mean()
    # More, for these classes share their covariance while those of real features do not quite.
    assert expected < spread < 1.6 * expected


def test_lengths_of_errors_vary_as_with_a_covariance_of_the_classs_own(make_bank):
    """A Wishart matrix of 100 degrees of freedom for each class, an error drawn from it."""
    rng = np.random.default_rng(0)
    scale = 1 / np.sqrt(np.arange(1, 61))
    cloud = MeanCloud(np.zeros((4000, 60)), np.ones(4000), np.ones(4000), np.diag(scale), np.ones(4000))
    drawn = np.square(cloud.draw_errors(rng)).sum(axis=1)
    images = rng.standard_normal((4000, 100, 60)) * scale
    own = np.einsum("cn,cnd->cd", rng.standard_normal((4000, 100)), images) / 10
    lengths = np.square(own).sum(axis=1)
    assert drawn.mean() == pytest.approx(lengths.mean(), rel=0.05)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(lengths.var() / lengths.mean() ** 2, rel=0.15)


def test_factor_of_a_covariance_short_of_rank():
    root = np.random.default_rng(0).standard_normal((6, 3))
    covariance = (root @ root.T).astype(np.float32)
    factor = covariance_factor(covariance)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=2e-4 * covariance.max())  # the jitter's share


@pytest.mark.parametrize("left", [0.0, 1e-15, -1e-15])
def test_round_off_in_features_that_do_not_vary_is_none_of_the_covariance(left):
    covariance = np.array([[2.0, 1.0, 3e-15], [1.0, 2.0, -3e-15], [3e-15, -3e-15, left]], dtype=np.float32)
    for unit in (1.0, 1e17):  # of the features, squared
        factor = covariance_factor(unit * covariance)
        np.testing.assert_allclose(factor @ factor.T / unit, [[2, 1, 0], [1, 2, 0], [0, 0, 0]], atol=2e-4)
    assert not factor[2].any()
    assert not covariance_factor(np.minimum(covariance, 0) * 0).any()
