"""Streaming class statistics against NumPy in one piece."""

import numpy as np
import pytest
import torch

from features.class_statistics import ClassStatistics


def sample(n=500, width=6, n_classes=4, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    mixing = rng.normal(size=(width, width))
    return rng.normal(size=(n, width)) @ mixing + labels[:, None] * 3.0 + offset, labels


def accumulated(x, labels, n_classes=4, batch=64, dtype=torch.float64):
    statistics = ClassStatistics(n_classes, x.shape[1])
    for start in range(0, len(x), batch):
        part = slice(start, start + batch)
        statistics.add(torch.from_numpy(x[part]).to(dtype), torch.from_numpy(labels[part]))
    return statistics


def oracle(x, labels, n_classes=4):
    """Two passes in float64: the definitions."""
    means = np.stack([x[labels == c].mean(axis=0) for c in range(n_classes)])
    variances = np.stack([x[labels == c].var(axis=0) for c in range(n_classes)])
    rest = x - means[labels]
    return np.bincount(labels, minlength=n_classes), means, variances, rest.T @ rest / len(x)


def compare(statistics, expected, rtol=1e-6, atol=1e-6):  # what float32 results can hold
    counts, means, variances, covariance = expected
    np.testing.assert_array_equal(statistics.counts.numpy(), counts)
    np.testing.assert_allclose(statistics.means(), means, rtol, atol)
    np.testing.assert_allclose(statistics.variances(), variances, rtol, atol)
    np.testing.assert_allclose(statistics.within_covariance(), covariance, rtol, atol)


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_the_definitions_hold_for_any_batch_size(batch):
    x, labels = sample()
    compare(accumulated(x, labels, batch=batch), oracle(x, labels))


def test_results_are_single_precision_of_double_precision_sums():
    statistics = accumulated(*sample())
    assert statistics.sums.dtype == statistics.squares.dtype == statistics.scatter.dtype == torch.float64
    assert {statistics.means().dtype, statistics.variances().dtype, statistics.within_covariance().dtype} == {
        np.dtype(np.float32)
    }


def test_features_far_from_zero_lose_no_precision():
    rng = np.random.default_rng(0)
    x = (1000 + rng.normal(size=(4000, 5))).astype(np.float32)  # variance 1 on an offset of 1000
    labels = rng.integers(0, 4, 4000)
    statistics = accumulated(x, labels, dtype=torch.float32)
    compare(statistics, oracle(x.astype(np.float64), labels), rtol=1e-6, atol=1e-7)
    single = np.stack([(x[labels == c] ** 2).mean(0) - x[labels == c].mean(0) ** 2 for c in range(4)])
    assert np.abs(single - 1).max() > 0.1 > np.abs(statistics.variances() - 1).max()  # in float32 they would be lost


def test_half_precision_features_count_as_what_they_hold():
    x, labels = sample()
    rounded = torch.from_numpy(x).to(torch.bfloat16)
    compare(accumulated(x, labels, dtype=torch.bfloat16), oracle(rounded.double().numpy(), labels))


def test_shards_merged_are_the_whole():
    x, labels = sample(n=600)
    merged = accumulated(x[:100], labels[:100])
    for part in (slice(100, 130), slice(130, 600)):
        merged.merge(accumulated(x[part], labels[part]))
    compare(merged, oracle(x, labels))


def test_the_order_of_the_images_does_not_matter():
    x, labels = sample()
    order = np.random.default_rng(1).permutation(len(x))
    compare(accumulated(x[order], labels[order], batch=33), oracle(x, labels))


def test_the_diagonal_of_the_covariance_is_the_mean_variance_over_images():
    x, labels = sample()
    statistics = accumulated(x, labels)
    share = statistics.counts.numpy() / len(x)
    np.testing.assert_allclose(np.diag(statistics.within_covariance()), share @ statistics.variances(), rtol=1e-5)
    np.testing.assert_allclose(statistics.within_covariance(), statistics.within_covariance().T, atol=1e-6)
    assert np.linalg.eigvalsh(statistics.within_covariance()).min() > -1e-5


def test_a_shift_moves_the_means_and_nothing_else():
    (x, labels), (y, _) = sample(), sample(offset=50.0)
    ours, shifted = accumulated(x, labels), accumulated(y, labels)
    np.testing.assert_allclose(shifted.means(), ours.means() + 50, rtol=1e-5)
    np.testing.assert_allclose(shifted.variances(), ours.variances(), rtol=1e-5)
    np.testing.assert_allclose(shifted.within_covariance(), ours.within_covariance(), rtol=1e-5, atol=1e-5)


def test_a_constant_feature_has_no_variance_and_never_a_negative_one():
    x = np.full((1000, 3), 0.1)
    labels = np.arange(1000) % 3
    statistics = accumulated(x, labels, n_classes=3, batch=17)
    assert (statistics.variances() >= 0).all()
    np.testing.assert_allclose(statistics.variances(), 0, atol=1e-15)
    np.testing.assert_allclose(statistics.within_covariance(), 0, atol=1e-15)


def test_a_class_of_one_image_is_that_image():
    x, labels = sample(n=4)
    statistics = accumulated(x, labels)
    np.testing.assert_allclose(statistics.means(), x, rtol=1e-6)
    np.testing.assert_allclose(statistics.variances(), 0, atol=1e-12)


def test_one_image_a_class_leaves_no_round_off_in_the_covariance():
    rng = np.random.default_rng(0)
    x = np.abs(rng.standard_normal((200, 1280)))
    statistics = accumulated(x, rng.permutation(200), n_classes=200, dtype=torch.float32)
    assert np.diag((statistics.scatter - statistics.means().T.astype(float) @ statistics.sums.numpy()).numpy()).any()
    assert not statistics.within_covariance().any()


def test_nor_do_features_that_never_vary():
    rng = np.random.default_rng(0)
    x = np.abs(rng.standard_normal((320, 32)))
    x[:, :6] = 5 * rng.random(6)
    labels = rng.permutation(np.repeat(np.arange(40), 8))
    covariance = accumulated(x, labels, n_classes=40, dtype=torch.float32).within_covariance()
    assert not covariance[:6].any() and not covariance[:, :6].any()
    assert np.linalg.eigvalsh(covariance[6:, 6:]).min() > 0.1


def test_a_label_beyond_the_classes_is_an_error():
    with pytest.raises(IndexError):
        ClassStatistics(2, 3).add(torch.zeros(1, 3), torch.tensor([2]))
