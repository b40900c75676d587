"""The places of chosen classes in a pool, and the cases that expected gains are looked up for."""

from itertools import combinations

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from similarity import select_classes
from similarity.selection import payoff
from similarity.selection.payoff import expected_gains, positions
from similarity.selection.pool import SourcePool
from similarity.uncertainty.expected_gain import Expectation


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


@pytest.fixture
def asked(monkeypatch):
    """The cases that are looked up: what :func:`expected_gain` is given, and the nearness that it would compute."""
    cases = []

    def look_up(kind, banks, geometry, sizes, nearness):
        cases.append((kind, [bank.name for bank in banks], geometry, sizes, nearness()))
        return Expectation(None, None, sizes, "not looked up")

    monkeypatch.setattr(payoff, "expected_gain", look_up)
    return cases


@pytest.fixture
def banks(make_bank):
    """A target of 3 classes, and two sources of 6."""
    rng = np.random.default_rng(0)
    target = make_bank(rng.random((3, 4)), [3, 5, 10], dataset="folder:target")
    return target, [make_bank(rng.random((6, 4)), [9] * 6, dataset=f"folder:{name}") for name in "ab"]


def test_a_choice_is_looked_up_by_its_share_and_nearness(banks, asked):
    target, sources = banks
    pool = SourcePool.of([target], sources, "euclidean")
    subset = select_classes([target], sources, classes=4, strategy="nearest", geometry="euclidean")
    assert expected_gains(pool, [target], subset)["folder:target"].unknown == "not looked up"
    ((kind, names, geometry, sizes, near),) = asked
    assert (kind, geometry, names) == ("classes", "euclidean", ["folder:target", "folder:a", "folder:b"])
    assert sizes == {"share": 4 / 12, "target_classes": 3, "images": 6}
    distances = np.linalg.norm(np.concatenate([s.means for s in sources])[:, None] - target.means[None], axis=2)
    origin = [(bank.name, name) for bank in sources for name in bank.classes]
    chosen = [origin.index((row.source, row.class_name)) for row in subset.rows]
    weights = np.array([3, 5, 10]) / 18
    every = [distances[list(four)].min(axis=0) @ weights for four in combinations(range(12), 4)]
    assert near == pytest.approx(1 - distances[chosen].min(axis=0) @ weights / np.mean(every), rel=1e-6)


def test_a_choice_that_is_not_by_similarity_has_no_figure(banks, asked):
    target, sources = banks
    subset = select_classes([target], sources, strategy="random", classes=4, geometry="euclidean")
    found = expected_gains(SourcePool.of([target], sources, "euclidean"), [target], subset)["folder:target"]
    assert found.over_random is None and found.unknown == "measured for choices by similarity, not by random"
    assert not asked


@pytest.mark.parametrize("size", [{"strategy": "all"}, {"strategy": "nearest", "classes": 12}])
def test_of_all_classes_nothing_is_said(banks, asked, size):
    target, sources = banks
    subset = select_classes([target], sources, geometry="euclidean", **size)
    assert len(subset) == 12
    assert expected_gains(SourcePool.of([target], sources, "euclidean"), [target], subset) == {} and not asked


def test_a_choice_for_several_targets_has_no_figure(banks, asked, make_bank):
    target, sources = banks
    other = make_bank(np.random.default_rng(1).random((2, 4)), [3, 5], dataset="folder:other")
    subset = select_classes([target, other], sources, classes=2, geometry="euclidean")
    found = expected_gains(SourcePool.of([target, other], sources, "euclidean"), [target, other], subset)
    assert {one.unknown for one in found.values()} == {"measured for choices for one target"} and not asked
