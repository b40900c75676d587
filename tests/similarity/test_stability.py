"""Selections from means that are drawn again."""

import numpy as np
import pytest

from features.errors import InputError
from similarity import select_classes, selection_stability

NEAREST = {"strategy": "nearest", "geometry": "euclidean"}


@pytest.fixture
def banks(make_bank):
    """A target at 0; sources at 1, 2, 2.05 and 9, of deviation 1."""
    target = make_bank([[0.0], [0.1]], [10_000, 10_000], dataset="folder:target")
    return lambda n: ([target], [make_bank([[1.0], [2.0], [2.05], [9.0]], [n] * 4)])


def test_what_lies_close_is_a_coin_toss_and_what_lies_apart_is_not(banks):
    found = selection_stability(*banks(400), replicates=200, classes=2, **NEAREST)
    share = {row.class_name: row.share for row in found.classes}
    assert share["c0"] == 1
    assert 0.5 < share["c1"] < 0.9  # 0.05 apart, each with a deviation of 1/20: chosen Φ(0.71) = 76 % of the time
    assert share["c1"] + share["c2"] == pytest.approx(1)
    assert "c3" not in share
    assert [(row.class_name, row.chosen) for row in found.classes] == [("c0", True), ("c1", True), ("c2", False)]
    # Two of two the same: 1; one of three: 1/3.
    assert found.jaccard == pytest.approx(share["c1"] + (1 - share["c1"]) / 3)
    assert found.subset.rows == select_classes(*banks(400), classes=2, **NEAREST).rows


def test_many_images_change_nothing(banks):
    found = selection_stability(*banks(10**8), replicates=5, classes=2, **NEAREST)
    assert found.jaccard == 1
    assert [row.share for row in found.classes] == [1, 1]


def test_all_and_random_do_not_depend_on_the_means(banks):
    assert selection_stability(*banks(5), replicates=3, **{**NEAREST, "strategy": "all"}).jaccard == 1
    assert selection_stability(*banks(5), replicates=3, classes=2, **{**NEAREST, "strategy": "random"}).jaccard == 1


def test_seeded(banks):
    def of(seed):
        return selection_stability(*banks(100), 30, seed, classes=2, **NEAREST)

    assert of(0).classes == of(0).classes
    assert of(0).jaccard == of(0).jaccard != of(1).jaccard
    assert (of(1).seed, of(1).replicates) == (1, 30)


def test_default_options_and_what_is_refused(banks, make_bank):
    rng = np.random.default_rng(0)
    target = make_bank(rng.random((3, 8)) * 0.1, dataset="folder:target")  # near zero: draws must not fall below
    source = make_bank(rng.random((20, 8)) * 0.1)
    found = selection_stability([target], [source], 3, classes=5)
    assert 0 < found.jaccard <= 1
    with pytest.raises(ValueError, match="replicates must be at least 1, got 0"):
        selection_stability([target], [source], 0, classes=5)
    with pytest.raises(InputError, match="--classes"):
        selection_stability([target], [source], 2, classes=21)
