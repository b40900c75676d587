"""A target and two sources."""

import numpy as np
import pytest


@pytest.fixture
def target(make_bank):
    return make_bank(np.random.default_rng(0).random((4, 8)), [3, 5, 1, 9], dataset="folder:target")


@pytest.fixture
def sources(make_bank):
    rng = np.random.default_rng(1)
    return [
        make_bank(rng.random((6, 8)), [1, 2, 3, 4, 5, 6], dataset="folder:a"),
        make_bank(rng.random((5, 8)), [30, 20, 10, 5, 1], dataset="folder:b", classes=["v", "w", "x", "y", "z"]),
    ]
