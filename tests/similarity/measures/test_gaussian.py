"""The Fréchet distance against SciPy, POT and closed forms."""

import numpy as np
import ot
import pytest
from scipy.linalg import sqrtm

from similarity.measures import frechet, total_moments


def drawn(seed, width=6, rank=None):
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((width, rank or width))
    return rng.standard_normal(width), factor @ factor.T


def test_against_the_root_of_the_nonsymmetric_product():
    (m, s), (n, t) = drawn(0), drawn(1)
    expected = (m - n) @ (m - n) + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet(m, s, n, t) == pytest.approx(expected, rel=1e-9)
    assert frechet(m, s, n, t) == pytest.approx(ot.gaussian.bures_wasserstein_distance(m, n, s, t) ** 2, rel=1e-9)


def test_covariances_that_commute_have_a_closed_form():
    a, b = np.array([4.0, 1.0, 0.0]), np.array([1.0, 0.0, 9.0])
    expected = 3 * 4 + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet(np.zeros(3), np.diag(a), np.full(3, 2.0), np.diag(b)) == pytest.approx(expected)


@pytest.mark.parametrize("rank", [2, 6])
def test_laws(rank):
    (m, s), (n, t) = drawn(0, rank=rank), drawn(1, rank=rank)
    value = frechet(m, s, n, t)
    assert frechet(m, s, m, s) == pytest.approx(0, abs=1e-6 * np.trace(s))  # √ε of the eigenvalues' round-off
    assert frechet(n, t, m, s) == pytest.approx(value, rel=1e-7)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((6, 6)))[0]
    turned = frechet(rotation @ m + 5, rotation @ s @ rotation.T, rotation @ n + 5, rotation @ t @ rotation.T)
    assert turned == pytest.approx(value, rel=1e-7)
    assert frechet(3 * m, 9 * s, 3 * n, 9 * t) == pytest.approx(9 * value, rel=1e-7)


def test_round_off_below_zero_counts_as_zero():
    flat = np.diag([1.0, -1e-9])
    assert frechet(np.zeros(2), flat, np.zeros(2), np.diag([4.0, 0.0])) == pytest.approx(1.0, abs=1e-6)


def test_moments_of_all_images_come_from_class_statistics(clusters, image_bank):
    features, labels = clusters(5 * np.random.default_rng(0).standard_normal((4, 7)), [30, 3, 12, 1])
    mean, covariance = total_moments(image_bank(features, labels, keep=False))
    np.testing.assert_allclose(mean, features.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(features, rowvar=False, bias=True), rtol=1e-4, atol=1e-5)


def test_what_is_refused():
    m, s = drawn(0)
    with pytest.raises(ValueError, match=r"other_mean must be \(D,\) and other_covariance"):
        frechet(m, s, m, s[:3])
    with pytest.raises(ValueError, match="one width, got 6 and 5"):
        frechet(m, s, m[:5], s[:5, :5])
    with pytest.raises(ValueError, match="mean and covariance must be finite"):
        frechet(np.full(6, np.nan), s, m, s)
