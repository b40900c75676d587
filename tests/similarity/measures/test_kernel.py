"""The maximum mean discrepancy against a double loop."""

import numpy as np
import pytest

from similarity.measures import median_distance, mmd
from similarity.measures.sampling import sample


def looped(x, y, sigma):
    def kernel(a, b):
        return np.exp(-np.square(a - b).sum() / (2 * sigma**2))

    within = [np.mean([kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]) for z in (x, y)]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


@pytest.fixture
def two():
    rng = np.random.default_rng(0)
    return rng.standard_normal((23, 4)), rng.standard_normal((31, 4)) + 0.7


def test_against_the_loop(two):
    x, y = two
    assert mmd(x, y, bandwidth=1.3) == pytest.approx(looped(x, y, 1.3), rel=1e-10)
    both = np.concatenate(two)
    apart = [np.linalg.norm(both[i] - both[j]) for i in range(len(both)) for j in range(i)]
    assert median_distance(both) == pytest.approx(np.median(apart), rel=1e-12)
    assert mmd(x, y) == pytest.approx(looped(x, y, np.median(apart)), rel=1e-10)


def test_blocks_add_up(two, monkeypatch):
    whole = mmd(*two)
    monkeypatch.setattr("similarity.measures.kernel._ROWS", 7)
    assert mmd(*two) == pytest.approx(whole, rel=1e-12)


def test_without_bias_it_is_zero_on_average_for_one_distribution():
    rng = np.random.default_rng(0)
    values = np.array(
        [mmd(rng.standard_normal((40, 3)), rng.standard_normal((30, 3)), bandwidth=1) for _ in range(200)]
    )
    assert (values < 0).any()
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200)


def test_laws(two):
    x, y = two
    value = mmd(x, y)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((4, 4)))[0]
    assert mmd(y, x) == pytest.approx(value, rel=1e-10)
    assert mmd(5 * x @ rotation + 3, 5 * y @ rotation + 3) == pytest.approx(value, rel=1e-10)  # σ goes along
    assert mmd(x, y + 2) > value


def test_sets_apart_approach_the_kernels_within():
    rng = np.random.default_rng(0)
    x = 1e-6 * rng.standard_normal((20, 3))
    assert mmd(x, x + 100, bandwidth=1) == pytest.approx(2, abs=1e-9)


def test_a_sample_estimates_the_value():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1500, 3)), rng.standard_normal((1500, 3)) + 0.5
    whole = mmd(x, y, bandwidth=2)
    part = mmd(x, y, bandwidth=2, most=500)
    assert part != whole
    assert part == pytest.approx(whole, rel=0.25)
    assert part == pytest.approx(mmd(x[sample(x, 500)], y[sample(y, 500)], bandwidth=2), rel=1e-10)
    order = rng.permutation(1500)
    assert mmd(x[order], y[order], bandwidth=2, most=500) == pytest.approx(part, rel=1e-10)


def test_images_that_coincide():
    same = np.ones((5, 3))
    assert median_distance(same) == 1
    assert mmd(same, same) == 0
    assert median_distance(np.array([[0.0]] * 20 + [[3.0]])) == 3


def test_what_is_refused(two):
    x, y = two
    with pytest.raises(ValueError, match="one width, got 4 and 3"):
        mmd(x, y[:, :3])
    with pytest.raises(ValueError, match="at least 2 images, got 1, 31"):
        mmd(x[:1], y)
    with pytest.raises(ValueError, match="bandwidth must be positive, got 0"):
        mmd(x, y, bandwidth=0)
    with pytest.raises(ValueError, match="other must be finite"):
        mmd(x, np.full((3, 4), np.nan))
