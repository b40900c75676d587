"""The places of chosen classes in a pool."""

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from similarity.selection.payoff import positions
from similarity.selection.pool import SourcePool


def test_classes_have_the_positions_of_their_source(make_bank):
    rng = np.random.default_rng(0)
    target = make_bank(rng.random((2, 4)), [3, 5], dataset="folder:target")
    sources = [make_bank(rng.random((3, 4)), [1, 2, 3], dataset=f"folder:{name}") for name in "ab"]
    pool = SourcePool.of([target], sources, "euclidean")
    one, other = sources[1].classes[0], sources[0].classes[2]
    assert positions(pool, [("folder:b", one), ("folder:a", other)]).tolist() == [3, 2]
    assert positions(pool, []).dtype == np.int64
    with pytest.raises(InputError, match="the banks have no class 'gone' of folder:a"):
        positions(pool, [("folder:a", "gone")])
