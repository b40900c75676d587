"""Draws that do not depend on the order of the images."""

import numpy as np
import pytest

from similarity.measures.sampling import sample


@pytest.mark.parametrize("most", [1, 30, 200, 500])
def test_the_same_images_in_the_same_order_however_they_lie(most):
    features = np.random.default_rng(0).standard_normal((200, 5))
    order = np.random.default_rng(1).permutation(200)
    drawn = sample(features, most)
    assert len(set(drawn)) == len(drawn) == min(most, 200)
    np.testing.assert_array_equal(order[sample(features[order], most)], drawn)


def test_every_image_is_as_likely():
    features = np.random.default_rng(0).standard_normal((20, 3))
    drawn = np.bincount(np.concatenate([sample(features, 5, seed) for seed in range(800)]), minlength=20)
    assert drawn.sum() == 4000
    assert np.abs(drawn - 200).max() < 4 * np.sqrt(200)


def test_the_seed_decides_and_blocks_do_not(monkeypatch):
    features = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float16)
    drawn = sample(features, 10, 4)
    assert not np.array_equal(sample(features, 10, 5), drawn)
    monkeypatch.setattr("similarity.measures.sampling._ROWS", 7)
    np.testing.assert_array_equal(sample(features, 10, 4), drawn)


def test_none_is_no_sample():
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        sample(np.ones((3, 2)), 0)
