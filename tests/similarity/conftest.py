"""Banks made from arrays."""

import numpy as np
import pytest

from features.bank import FeatureBank


@pytest.fixture
def make_bank():
    """A function that makes a bank from class means and whatever else matters to the test."""

    def make(means, counts=None, *, dataset="folder:source", classes=None, variances=None, within=None, **attrs):
        means = np.asarray(means, dtype=np.float32)
        n_classes, width = means.shape
        return FeatureBank(
            classes=tuple(classes or (f"c{i}" for i in range(n_classes))),
            counts=np.asarray(counts if counts is not None else [10] * n_classes, dtype=np.int64),
            means=means,
            variances=np.ones_like(means) if variances is None else np.asarray(variances, dtype=np.float32),
            within_covariance=np.eye(width, dtype=np.float32)
            if within is None
            else np.asarray(within, dtype=np.float32),
            attrs={
                "dataset": dataset,
                "backbone": "b",
                "weights_sha256": "w",
                "transform": "t",
                "pooling": "p",
                **attrs,
            },
        )

    return make
