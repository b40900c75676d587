"""Classes in blocks hold every image once."""

import numpy as np
import pytest

from similarity.measures.grouping import class_sums, padded_classes


def test_sums_against_a_loop():
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((40, 3)), rng.integers(0, 5, 40)
    expected = [rows[labels == c].sum(axis=0) for c in range(6)]  # the sixth has no image
    np.testing.assert_allclose(class_sums(rows, labels, 6), expected, atol=1e-12)


@pytest.mark.parametrize("block", [1, 40, 200, 1 << 20])
def test_padded_classes_hold_the_rows_of_each_class_once(block, monkeypatch):
    monkeypatch.setattr("similarity.measures.grouping._BLOCK", block)
    rng = np.random.default_rng(0)
    counts = np.array([3, 17, 1, 8, 8, 2])
    labels = rng.permutation(np.repeat(np.arange(6), counts))
    rows = 1 + rng.random((len(labels), 2))
    seen = []
    blocks = list(padded_classes(rows, labels, counts))
    for classes, padded in blocks:
        assert padded.shape == (len(classes), counts[classes].max(), 2)
        assert len(classes) == 1 or padded.size <= block
        for c, of in zip(classes, padded, strict=True):
            seen.append(c)
            np.testing.assert_array_equal(of[: counts[c]], rows[labels == c])
            assert not of[counts[c] :].any()
    assert sorted(seen) == list(range(6))
    assert len(blocks) == {1: 6, 1 << 20: 1}.get(block, len(blocks))
