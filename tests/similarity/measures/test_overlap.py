"""GBC against a loop over pairs, and Gaussians from a bank against those of its images."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from features.infrastructure.errors import InputError
from similarity.measures import gbc, principal_gaussians


def looped(means, variances):
    total = 0.0
    for i in range(len(means)):
        for j in range(len(means)):
            if i == j:
                continue
            s, t = np.diag(variances[i]), np.diag(variances[j])
            v, d = (s + t) / 2, means[i] - means[j]
            ratio = np.log(np.linalg.det(v) / np.sqrt(np.linalg.det(s) * np.linalg.det(t)))
            total += np.exp(-(d @ np.linalg.inv(v) @ d / 8 + ratio / 2))
    return -total


@pytest.fixture
def classes():
    rng = np.random.default_rng(0)
    return rng.standard_normal((7, 5)), rng.uniform(0.2, 2, (7, 5))


def test_diagonal_against_the_loop(classes):
    means, variances = classes
    assert gbc(means, variances, spherical=False) == pytest.approx(looped(means, variances), rel=1e-10)


def test_spherical_against_the_loop(classes):
    means, variances = classes
    round_ = np.repeat(variances.mean(axis=1, keepdims=True), 5, axis=1)
    assert gbc(means, variances) == pytest.approx(looped(means, round_), rel=1e-10)
    assert gbc(means, round_, spherical=False) == pytest.approx(gbc(means, variances), rel=1e-10)


def test_one_feature_is_the_integral_of_the_root_of_two_densities():
    overlap, _ = quad(lambda x: np.sqrt(norm.pdf(x, 0, 1) * norm.pdf(x, 1.5, 2)), -30, 30)
    assert gbc([[0.0], [1.5]], [[1.0], [4.0]]) == pytest.approx(-2 * overlap, rel=1e-8)


def test_laws(classes):
    means, variances = classes
    order = np.random.default_rng(1).permutation(7)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))[0]
    for spherical in (True, False):
        value = gbc(means, variances, spherical=spherical)
        assert -42 <= value <= 0
        assert gbc(means[order], variances[order], spherical=spherical) == pytest.approx(value, rel=1e-12)
        assert gbc(3 * means + 7, 9 * variances, spherical=spherical) == pytest.approx(value, rel=1e-10)
        assert gbc(2 * means, variances, spherical=spherical) > value
    assert gbc(means @ rotation, variances) == pytest.approx(gbc(means, variances), rel=1e-10)
    assert gbc(np.ones((7, 5)), np.ones((7, 5))) == -42


@pytest.mark.parametrize("spherical", [True, False])
def test_blocks_of_pairs_change_nothing(classes, monkeypatch, spherical):
    whole = gbc(*classes, spherical=spherical)
    monkeypatch.setattr("similarity.measures.overlap._BLOCK", 60)
    assert gbc(*classes, spherical=spherical) == pytest.approx(whole, rel=1e-12)


def test_a_class_that_does_not_vary_still_overlaps_with_its_twin():
    means = np.array([[0.0, 0.0], [0.0, 0.0], [9.0, 9.0]])
    assert gbc(means, np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])) == pytest.approx(-2)


def test_gaussians_of_a_bank_are_those_of_its_images(clusters, image_bank):
    """Classes of one shape and several sizes, in fewer dimensions than components: nothing is approximated."""
    rng = np.random.default_rng(0)
    shape = rng.standard_normal((40, 6)) @ rng.standard_normal((6, 6))
    shape -= shape.mean(axis=0)
    sizes, centres = np.array([1.0, 2.0, 0.5]), 4 * rng.standard_normal((3, 6))
    features = np.concatenate([centre + size * shape for centre, size in zip(centres, sizes, strict=True)])
    labels = np.repeat([0, 1, 2], 40)
    means, variances = principal_gaussians(image_bank(features, labels, keep=False))
    away = features - features.mean(axis=0)
    directions = np.linalg.svd(away)[2].T
    expected = np.stack([(away @ directions)[labels == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(np.abs(means), np.abs(expected), rtol=1e-4, atol=1e-4)  # float32, and either sign
    expected = np.stack([(away @ directions)[labels == c].var(axis=0, ddof=1) for c in range(3)])
    np.testing.assert_allclose(variances, expected, rtol=1e-3)


def test_only_the_first_components_count(clusters, image_bank):
    features, labels = clusters(10 * np.eye(3, 90), [30] * 3)
    means, variances = principal_gaussians(image_bank(features, labels), components=2)
    assert means.shape == variances.shape == (3, 2)
    # Three classes span two directions: nothing of their distances is lost.
    np.testing.assert_allclose(np.linalg.norm(means[0] - means[1]), 10 * np.sqrt(2), rtol=0.1)
    assert principal_gaussians(image_bank(features, labels))[0].shape == (3, 64)


def test_a_class_of_one_image_has_the_spread_of_all(clusters, image_bank):
    features, labels = clusters(5 * np.eye(3, 4), [30, 30, 1])
    variances = principal_gaussians(image_bank(features, labels))[1]
    within = np.mean([features[labels == c].var(axis=0, ddof=1).sum() for c in (0, 1)])
    np.testing.assert_allclose(variances[2].sum(), within, rtol=1e-4)


def test_what_is_refused(classes, clusters, image_bank):
    means, variances = classes
    with pytest.raises(ValueError, match=r"at least 2 classes, got \(1, 5\)"):
        gbc(means[:1], variances[:1])
    with pytest.raises(ValueError, match="must not be negative, and not all 0"):
        gbc(means, np.zeros_like(means))
    with pytest.raises(ValueError, match="must not be negative, and not all 0"):
        gbc(means, -variances)
    with pytest.raises(InputError, match="folder:target: the images of a class do not vary"):
        principal_gaussians(image_bank(*clusters(np.eye(4), [1] * 4)))
