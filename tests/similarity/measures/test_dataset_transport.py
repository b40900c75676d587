"""OTDD against POT with costs from a loop, label distances against POT's Bures distance."""

import numpy as np
import ot
import pytest

from similarity.measures import label_distances, otdd


@pytest.fixture
def sides(clusters):
    rng = np.random.default_rng(0)
    return clusters(2 * rng.standard_normal((3, 4)), [12, 9, 7]), clusters(
        2 * rng.standard_normal((2, 4)), [10, 8], seed=1
    )


def gaussians(features, labels, full):
    of = [features[labels == c] for c in np.unique(labels)]
    spread = [np.cov(rows, rowvar=False, bias=True) if full else rows.var(axis=0) for rows in of]
    return np.stack([rows.mean(axis=0) for rows in of]), np.stack(spread)


@pytest.mark.parametrize("full", [False, True])
def test_label_distances_against_pot(sides, full, monkeypatch):
    (means, spread), (other_means, other_spread) = (gaussians(*side, full) for side in sides)
    expected = np.empty((3, 2))
    for i in range(3):
        for j in range(2):
            s, t = (x if full else np.diag(x) for x in (spread[i], other_spread[j]))
            expected[i, j] = ot.gaussian.bures_wasserstein_distance(means[i], other_means[j], s, t) ** 2
    np.testing.assert_allclose(label_distances(means, spread, other_means, other_spread), expected, rtol=1e-7)
    monkeypatch.setattr("similarity.measures.dataset_transport._BLOCK", 40)
    np.testing.assert_allclose(label_distances(means, spread, other_means, other_spread), expected, rtol=1e-7)


def test_diagonal_covariances_are_a_case_of_whole_ones(sides):
    (means, spread), (other_means, other_spread) = (gaussians(*side, False) for side in sides)
    diagonal = label_distances(means, spread, other_means, other_spread)
    whole = label_distances(means, spread[:, :, None] * np.eye(4), other_means, other_spread[:, :, None] * np.eye(4))
    np.testing.assert_allclose(whole, diagonal, rtol=1e-9)
    np.testing.assert_allclose(np.diag(label_distances(means, spread, means, spread)), 0, atol=1e-12)


def test_otdd_against_pot(sides):
    (x, y), (x2, y2) = sides
    between = label_distances(*gaussians(x, y, False), *gaussians(x2, y2, False))
    costs = np.empty((len(x), len(x2)))
    for i in range(len(x)):
        for j in range(len(x2)):
            costs[i, j] = np.square(x[i] - x2[j]).sum() + between[y[i], y2[j]]
    assert otdd(x, y, x2, y2, between) == pytest.approx(ot.emd2([], [], costs), rel=1e-10)


def test_laws(sides):
    (x, y), (x2, y2) = sides
    between = label_distances(*gaussians(x, y, False), *gaussians(x2, y2, False))
    value = otdd(x, y, x2, y2, between)
    assert otdd(x2, y2, x, y, between.T) == pytest.approx(value, rel=1e-10)
    assert otdd(3 * x + 5, y, 3 * x2 + 5, y2, 9 * between) == pytest.approx(9 * value, rel=1e-10)
    own = label_distances(*gaussians(x, y, False), *gaussians(x, y, False))
    assert otdd(x, y, x, y, own) == pytest.approx(0, abs=1e-10)
    squared = np.square(x[:, None] - x2).sum(axis=2)
    assert otdd(x, y, x2, y2, np.zeros((3, 2))) == pytest.approx(ot.emd2([], [], squared), rel=1e-10)
    # A label costs at least its mean's distance, and moving an image at least that of the images.
    assert value >= ot.emd2([], [], squared) + between.min()


def test_labels_that_mean_something_else_are_further(sides):
    (x, y), _ = sides
    shuffled = np.random.default_rng(0).permutation(y)
    own = label_distances(*gaussians(x, y, False), *gaussians(x, y, False))
    crossed = label_distances(*gaussians(x, y, False), *gaussians(x, shuffled, False))
    assert otdd(x, y, x, shuffled, crossed) > 1 > otdd(x, y, x, y, own)


def test_a_sample_is_the_same_in_whatever_order_the_images_lie(sides):
    (x, y), (x2, y2) = sides
    between = label_distances(*gaussians(x, y, False), *gaussians(x2, y2, False))
    value = otdd(x, y, x2, y2, between, most=8)
    order = np.random.default_rng(0).permutation(len(x))
    assert otdd(x[order], y[order], x2, y2, between, most=8) == pytest.approx(value, rel=1e-12)
    assert otdd(x, y, x2, y2, between, most=8, seed=1) != value


def test_what_is_refused(sides):
    (x, y), (x2, y2) = sides
    means, spread = gaussians(x, y, False)
    other_means, other_spread = gaussians(x2, y2, False)
    between = label_distances(means, spread, other_means, other_spread)
    with pytest.raises(ValueError, match="labels must be 28 integers in 0 … 2"):
        otdd(x, y + 1, x2, y2, between)
    with pytest.raises(ValueError, match="other_labels must be 18 integers in 0 … 1"):
        otdd(x, y, x2, y2[:-1], between)
    with pytest.raises(ValueError, match="one width, got 4 and 3"):
        otdd(x, y, x2[:, :3], y2, between)
    with pytest.raises(ValueError, match=r"spread must be \(3, 4\) or \(3, 4, 4\)"):
        label_distances(means, spread[:2], other_means, other_spread)
    with pytest.raises(ValueError, match="both variances or covariances"):
        label_distances(means, spread, *gaussians(x2, y2, True))
    with pytest.raises(ValueError, match="variances must not be negative"):
        label_distances(means, -spread, other_means, other_spread)
