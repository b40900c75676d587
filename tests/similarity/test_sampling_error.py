"""Expected sampling errors against the errors of samples that are drawn."""

from dataclasses import replace

import numpy as np
import pytest

from similarity import fit_geometry
from similarity.sampling_error import mean_clouds


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


@pytest.mark.parametrize("geometry", ["euclidean", "cosine", "whitened", "sqrt-whitened"])
def test_errors_have_the_size_of_the_errors_of_other_samples(make_bank, geometry):
    """Of samples that the geometry was not fitted to: 20 classes × 6 images for 60 features, so it is overfitted."""
    rng = np.random.default_rng(0)
    width, classes, images = 60, 20, 6
    scale = rng.gamma(2.0, 1.0, width)
    shape = 4.0 + rng.gamma(2.0, 1.0, (classes, width))  # away from zero: the root is straight there

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
