"""What ends a choice: numbers of classes, budgets of images and shares of the target."""

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from similarity import STRATEGIES, select_classes
from similarity.selection.limits import DEFAULT_COVERAGE, Limit, classes_for
from similarity.selection.strategy import Ordering

SHARING = [name for name, row in STRATEGIES.items() if row.has_shares]
FOUND = Ordering(np.array([2, 0, 1, 3]), np.zeros(4), np.array([0.3, 0.15, 0.5, 0.05]))


@pytest.mark.parametrize(("share", "number"), [(0.2, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.95, 3), (1.0, 4)])
def test_classes_are_taken_until_they_serve_the_share(share, number):
    assert classes_for(FOUND, share) == number
    chosen, ended_by = Limit(4, None, share).cut(FOUND, np.ones(4, dtype=int))
    assert chosen.tolist() == [2, 0, 1, 3][:number] and ended_by == (None if number == 4 else "coverage")


def test_the_limit_reached_first_ends_the_choice():
    counts = np.array([10, 10, 30, 10])
    for limit, chosen, ended_by in (
        (Limit(1, 1000, 1.0), [2], "classes"),
        (Limit(4, 45, 1.0), [2, 0], "images"),
        (Limit(4, 45, 0.5), [2], "coverage"),
        (Limit(4, 1000, None), [2, 0, 1, 3], None),
    ):
        found = limit.cut(FOUND, counts)
        assert (found[0].tolist(), found[1]) == (chosen, ended_by)
    with pytest.raises(InputError, match="`images` 29: the first class alone has 30"):
        Limit(4, 29, None).cut(FOUND, counts)


def test_a_share_that_the_taken_classes_do_not_reach_has_no_number():
    first = Ordering(FOUND.classes[:2], FOUND.scores, FOUND.shares)
    assert classes_for(first, 0.8) == 2 and classes_for(first, 0.81) is None
    assert classes_for(Ordering(FOUND.classes, FOUND.scores), 0.5) is None


@pytest.mark.parametrize("strategy", SHARING)
def test_without_a_size_the_classes_serve_nine_tenths(target, sources, strategy):
    subset = select_classes([target], sources, strategy=strategy)
    (told,) = subset.provenance["targets"]
    assert told["asked_share"] == DEFAULT_COVERAGE == 0.9
    assert sum(row.weight for row in subset.rows) == pytest.approx(told["share"]) and told["share"] >= 0.9 - 1e-9
    assert len(subset) == told["chosen"] == told["classes_for"]["0.9"]
    shorter = select_classes([target], sources, strategy=strategy, classes=len(subset) - 1 or 1)
    assert len(subset) == 1 or shorter.provenance["targets"][0]["share"] < 0.9
    everything = select_classes([target], sources, strategy=strategy, classes=11)
    assert sum(row.weight for row in everything.rows) == pytest.approx(1)


def test_another_share_and_several_targets(target, sources, make_bank):
    twin = make_bank(sources[0].means[:1], dataset="folder:twin")
    more = select_classes([target], sources, coverage=0.99)
    less = select_classes([target], sources, coverage=0.3)
    assert len(less) < len(more) and more.rows[: len(less)] == less.rows
    both = select_classes([target, twin], sources, coverage=0.3)
    alone = {row.class_name: row.weight for row in select_classes([target], sources, classes=11).rows}
    of_twin = {row.class_name: row.weight for row in select_classes([twin], sources, classes=11).rows}
    for row in both.rows:  # the geometry is fitted to the sources, and the covariances of all agree
        mean = (alone[row.class_name] + of_twin[row.class_name]) / 2
        assert row.weight == pytest.approx(mean, abs=1e-5)
    for told in both.provenance["targets"]:
        assert told["share"] >= 0.3


@pytest.mark.parametrize("strategy", ["nearest", "local-scaling", "random"])
def test_a_strategy_without_shares_needs_a_size(target, sources, strategy):
    with pytest.raises(InputError, match="`classes` is missing"):
        select_classes([target], sources, strategy=strategy)
    with pytest.raises(InputError, match=f"`coverage`: `strategy` {strategy} does not tell .*mutual-proximity"):
        select_classes([target], sources, strategy=strategy, coverage=0.5)
    assert all(row.weight is None for row in select_classes([target], sources, strategy=strategy, classes=2).rows)


@pytest.mark.parametrize("coverage", [0, -0.5, 1.01, float("nan")])
def test_a_share_out_of_range(target, sources, coverage):
    with pytest.raises(InputError, match=r"`coverage` .*above 0 and at most 1"):
        select_classes([target], sources, coverage=coverage)
