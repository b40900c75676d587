"""Rows in a plain file, read in parts."""

import numpy as np
import pytest

from features.kept_features import KeptFeatures

FEATURES = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def test_rows_are_read_in_parts(tmp_path):
    kept = KeptFeatures(tmp_path / "rows", FEATURES.shape[1], scratch=True)
    kept.append(FEATURES)
    rows, places = kept.array(), np.array([4, 0, 1, 4, 2])
    assert len(rows) == len(FEATURES) and rows.shape == FEATURES.shape
    np.testing.assert_array_equal(rows[1:3], FEATURES[1:3])
    np.testing.assert_array_equal(rows[3:100], FEATURES[3:])
    np.testing.assert_array_equal(rows.take(places), FEATURES[places])
    assert rows.take(places[:0]).shape == (0, 3)
    with pytest.raises(ValueError, match="step 2"):
        rows[::2]
    kept.close()
