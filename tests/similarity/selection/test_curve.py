"""The curve of a choice: against its definition, and against the guarantee of the greedy choice."""

import csv
import json
from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from features.infrastructure.errors import InputError
from similarity import STRATEGIES, SelectionCurve, select_classes, selection_curves, write_curves


@pytest.fixture
def banks(make_bank):
    rng = np.random.default_rng(0)
    target = make_bank(rng.random((4, 6)), [3, 5, 1, 9], dataset="folder:target")
    return target, [
        make_bank(rng.random((5, 6)), [1, 2, 3, 4, 5], dataset="folder:a"),
        make_bank(rng.random((4, 6)), [30, 20, 10, 5], dataset="folder:b"),
    ]


@pytest.mark.parametrize("strategy", [name for name, row in STRATEGIES.items() if not row.takes_all])
def test_the_curve_is_that_of_the_classes_chosen(banks, strategy):
    target, sources = banks
    (curve,) = selection_curves([target], sources, strategy=strategy, geometry="euclidean", seed=3)
    means = {(bank.name, name): mean for bank in sources for name, mean in zip(bank.classes, bank.means, strict=True)}
    assert curve.available == 9
    names = list(means)
    for size in range(1, len(curve.distance) + 1):
        rows = select_classes([target], sources, classes=size, strategy=strategy, geometry="euclidean", seed=3).rows
        chosen = np.stack([means[row.source, row.class_name] for row in rows])
        nearest = cdist(chosen, target.means).min(axis=0)
        assert curve.distance[size - 1] == pytest.approx(np.average(nearest, weights=target.counts), rel=1e-6)
        assert curve.images[size - 1] == sum(row.count for row in rows)
        assert {names[i] for i in curve.classes[:size]} == {(row.source, row.class_name) for row in rows}
    assert (np.diff(curve.distance) <= 0).all() and curve.gain[-1] == 1
    assert curve.distance[-1] == pytest.approx(  # further classes gain nothing
        np.average(cdist(np.stack(list(means.values())), target.means).min(axis=0), weights=target.counts), rel=1e-6
    )
    if curve.share is None:
        assert len(curve.distance) == 1 or curve.distance[-2] > curve.distance[-1]
    else:
        assert curve.share[-1] >= 0.95 - 1e-9
        assert curve.share == pytest.approx(np.cumsum([row.weight for row in rows])[: len(curve.share)])


def test_coverage_is_within_its_guarantee_of_the_best_set(banks):
    target, sources = banks
    (curve,) = selection_curves([target], sources, strategy="coverage", geometry="euclidean")
    distances = cdist(np.concatenate([bank.means for bank in sources]), target.means)
    share = target.counts / target.counts.sum()
    for size in (2, 3):
        best = min(distances[list(rows)].min(axis=0) @ share for rows in combinations(range(9), size))
        value, bound = distances.max() - curve.distance[size - 1], (1 - 1 / np.e) * (distances.max() - best)
        assert value >= bound and curve.distance[size - 1] >= best - 1e-9


def test_a_known_curve(make_bank):
    # target classes at 0 and 100; nearest on average come first, and the two that serve them best come last
    target = make_bank([[0.0], [100.0]], dataset="folder:target")
    source = make_bank([[50.0], [45.0], [40.0], [35.0], [0.0], [100.0], [1e4]])
    (curve,) = selection_curves([target], [source], strategy="nearest", geometry="euclidean")
    # mean distances to the nearest chosen: 50, 47.5, 45, 42.5, 25, 0
    np.testing.assert_allclose(curve.distance, [50, 47.5, 45, 42.5, 25, 0])
    np.testing.assert_allclose(curve.gain, [0, 0.05, 0.1, 0.15, 0.5, 1])
    assert curve.share is None
    # The line from 0 to 1 is 0, 0.2, 0.4, 0.6, 0.8, 1, and this gain never lies above it: no class is worth more.
    assert curve.knee == 1
    assert curve.covered.tolist() == curve.gain.tolist()
    (curve,) = selection_curves([target], [source], strategy="nearest-class", geometry="euclidean")
    np.testing.assert_allclose(curve.share, [0.5, 1])


def test_the_knee_is_where_a_class_begins_to_cover_less_than_the_average_one():
    distance = 1 - np.array([0.0, 0.5, 0.8, 0.9, 0.95, 1.0])
    for share, knee in ((None, 3), (np.array([0.1, 0.2, 0.3, 0.8, 0.9, 1.0]), 4)):
        assert SelectionCurve("t", 6, None, distance, share).knee == knee


def test_every_target_draws_by_its_place_and_few_images_are_left_out(banks, make_bank):
    target, sources = banks
    twin = make_bank(target.means, target.counts, dataset="folder:twin")
    first, second = selection_curves([target, twin], sources, strategy="random", geometry="euclidean", seed=1)
    assert first.distance.tolist() != second.distance.tolist()
    (kept,) = selection_curves([target], sources, strategy="nearest", geometry="euclidean", min_count=4)
    assert kept.available == 6 and kept.images[0] >= 4


def test_the_curve_of_one_class_or_of_twins(make_bank):
    target = make_bank(np.eye(3), dataset="folder:target")
    for means in (np.ones((1, 3)), np.ones((4, 3))):
        (curve,) = selection_curves([target], [make_bank(means)], strategy="nearest", geometry="euclidean")
        assert curve.gain.tolist() == [1]


def test_the_table_has_a_line_a_size_and_says_how_it_was_made(banks, tmp_path):
    target, sources = banks
    curves = selection_curves([target], sources)
    write_curves(curves, tmp_path / "new" / "curve.csv", {"geometry": "cosine"})
    first, *lines = (tmp_path / "new" / "curve.csv").read_text().splitlines()
    names = list(json.loads(first.removeprefix("# ")).items())
    assert names[1:-1] == [("geometry", "cosine")]  # between the digest and the versions
    rows = list(csv.DictReader(lines))
    assert [int(row["classes"]) for row in rows] == list(range(1, len(curves[0].distance) + 1))
    assert {row["target"] for row in rows} == {"folder:target"}
    np.testing.assert_array_equal([float(row["distance"]) for row in rows], curves[0].distance)
    np.testing.assert_array_equal([float(row["share"]) for row in rows], curves[0].share)
    write_curves(selection_curves([target], sources, strategy="nearest"), tmp_path / "curve.csv", {})
    assert {row["share"] for row in csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()[1:])} == {""}


# Budgets in images


@pytest.mark.parametrize("strategy", [name for name, row in STRATEGIES.items() if not row.takes_all])
@pytest.mark.parametrize("budget", [31, 45, 1000])
def test_a_budget_of_images_takes_the_first_classes_that_fit(banks, strategy, budget):
    target, sources = banks
    everything = select_classes([target], sources, classes=9, strategy=strategy).rows
    total, expected = 0, []
    for row in everything:
        total += row.count
        if total > budget:
            break
        expected.append(row)
    if not expected:
        pytest.fail("the budget is too small for the test")
    assert list(select_classes([target], sources, images=budget, strategy=strategy).rows) == expected
    assert list(select_classes([target], sources, images=budget, classes=2, strategy=strategy).rows) == expected[:2]


def test_a_budget_below_the_first_class_is_refused(banks):
    target, sources = banks
    with pytest.raises(InputError, match="`images` 1: the first class alone has "):
        select_classes([target], sources[1:], images=1)
    with pytest.raises(InputError, match=r"`strategy` all takes every class; leave out `classes`, `images`"):
        select_classes([target], sources, images=10, strategy="all")


def test_a_source_that_has_no_class_of_enough_images_drops_out(banks):
    target, sources = banks
    subset = select_classes([target], sources, classes=3, min_count=6)
    assert {row.source for row in subset.rows} == {"folder:b"}
    with pytest.raises(InputError, match="`min_count` 99: no source class has so many images; the largest has 30"):
        select_classes([target], sources, classes=3, min_count=99)
