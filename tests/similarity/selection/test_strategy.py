"""Every strategy keeps one contract; a new row is checked here without a change."""

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from similarity import GEOMETRIES, STRATEGIES, Subset, select_classes, selection_curves
from similarity.selection.pool import SourcePool, class_scores


@pytest.fixture
def banks(make_bank):
    rng = np.random.default_rng(0)
    target = make_bank(rng.random((4, 6)), [3, 5, 1, 9], dataset="folder:target")
    return [target], [
        make_bank(rng.random((8, 6)), rng.integers(1, 40, 8), dataset="folder:a"),
        make_bank(rng.random((7, 6)), rng.integers(1, 40, 7), dataset="folder:b"),
    ]


def sizes(strategy, classes):
    return {} if STRATEGIES[strategy].takes_all else {"classes": classes}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_found_and_described(name):
    row = STRATEGIES.find(name)
    assert row.name == name and STRATEGIES.meanings()[name] == row.meaning
    assert row.meaning and "\n" not in row.meaning and row.meaning[0].islower() and row.meaning[-1] not in ".!"
    said = row.describe(12, "cosine")
    assert said and "{" not in said and (row.takes_all or "12" in said)


def test_phrases_of_reports():
    said = {name: STRATEGIES[name].describe(12, "cosine") for name in ("nearest", "random", "all")}
    assert said == {"nearest": "12 by nearest, cosine", "random": "12 at random", "all": "all"}


def test_an_unknown_strategy_is_one_line_with_the_nearest_name():
    with pytest.raises(InputError, match=r"^`strategy` covrage: there is no such strategy; did you mean coverage\?"):
        STRATEGIES.find("covrage")


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("size", [1, 6, 15])
def test_an_ordering_has_distinct_classes_and_a_score_for_each(banks, name, size):
    pool, row = SourcePool.of(*banks, "euclidean"), STRATEGIES[name]
    (target,) = banks[0]
    found = row.order(pool, target, size, (3, 0))
    assert found.classes.shape == (size,) and len(set(found.classes.tolist())) == size
    assert found.classes.min() >= 0 and found.classes.max() < len(pool)
    assert found.scores.shape == (len(pool),) and np.isfinite(found.scores).all()
    assert (found.shares is not None) == row.has_shares
    if found.shares is not None:
        assert found.shares.shape == (len(pool),) and (found.shares >= 0).all()
        assert found.shares.sum() == pytest.approx(1)
    longer = row.order(pool, target, len(pool), (3, 0))
    np.testing.assert_array_equal(longer.classes[:size], found.classes)
    if row.ranked_by == "distance":
        distances = class_scores(pool.points, pool.metric.points(target.means), target.counts)
        np.testing.assert_array_equal(found.scores, distances)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_seed_gives_one_order(banks, name):
    pool = SourcePool.of(*banks, "euclidean")
    first, again = (STRATEGIES[name].order(pool, banks[0][0], 15, (7, 1)) for _ in range(2))
    np.testing.assert_array_equal(first.classes, again.classes)
    np.testing.assert_array_equal(first.scores, again.scores)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_certificate_holds_and_a_curve_has_distinct_classes(banks, name):
    pool, row = SourcePool.of(*banks, "euclidean"), STRATEGIES[name]
    chosen = row.order(pool, banks[0][0], 5, 0).classes
    if row.certify is not None:
        found = row.certify(pool, banks[0][0], chosen)
        assert 0 <= found.bound <= found.distance
        (target,) = select_classes(*banks, classes=5, strategy=name, geometry="euclidean").provenance["targets"]
        assert target["coverage"] == {"distance": found.distance, "bound": found.bound}
    if row.curve is not None:
        order = row.curve(pool, banks[0][0], 0).classes
        assert len(set(order.tolist())) == len(order) <= len(pool)
    (curve,) = selection_curves(*banks, strategy=name, geometry="euclidean")
    assert 1 <= len(curve.distance) <= len(pool)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("geometry", ["euclidean", "sqrt-whitened"])
def test_small_and_degenerate_pools_have_an_order(make_bank, name, geometry):
    rng = np.random.default_rng(2)
    means = rng.random((5, 4))
    still = {"variances": np.zeros((5, 4)), "within": np.zeros((4, 4))}
    row = STRATEGIES[name]
    for case, source in {
        "twins": make_bank(np.ones((5, 4))),
        "no variance": make_bank(means, **still),
        "negative features": make_bank(means - 0.5),
        "two classes": make_bank(means[:2]),
        "the target itself": make_bank(means),
    }.items():
        for target in (make_bank(means, dataset="folder:t", **still), make_bank(means[:1], dataset="folder:one")):
            pool = SourcePool.of([target], [source], geometry)
            found = row.order(pool, target, len(pool), 0)
            assert sorted(found.classes) == list(range(len(pool))), case
            assert np.isfinite(found.scores).all(), case
            assert found.shares is None or found.shares.sum() == pytest.approx(1), case
            if case == "twins" and name != "importance":  # of equal classes the first takes every image
                assert np.ptp(found.scores) <= 1e-5 * abs(found.scores).max() + 1e-6


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_pool_of_one_class(make_bank, name):
    target, source = make_bank(np.eye(3), dataset="folder:target"), make_bank(np.ones((1, 3)))
    found = STRATEGIES[name].order(SourcePool.of([target], [source], "euclidean"), target, 1, 0)
    assert found.classes.tolist() == [0] and np.isfinite(found.scores).all()
    assert found.shares is None or found.shares.tolist() == [1]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_subset_survives_its_file_under_every_strategy_and_geometry(banks, strategy, geometry, tmp_path):
    options = {"strategy": strategy, "geometry": geometry, "min_count": 2, "seed": 1, **sizes(strategy, 4)}
    subset = select_classes(*banks, **options)
    assert subset == select_classes(*banks, **options)
    assert (subset.provenance["strategy"], subset.provenance["geometry"]) == (strategy, geometry)
    subset.write(tmp_path / "subset.csv")
    assert Subset.read(tmp_path / "subset.csv") == subset
