"""Selecting classes: sizes, several targets, provenance, and what is refused."""

import json

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from similarity import STRATEGIES, Subset, select_classes


def chosen(subset):
    return [(row.source, row.class_name) for row in subset.rows]


@pytest.mark.parametrize("strategy", [name for name, row in STRATEGIES.items() if not row.takes_all])
def test_every_strategy_gives_as_many_classes_as_asked(target, sources, strategy):
    for size in (1, 7, 11):
        subset = select_classes([target], sources, classes=size, strategy=strategy)
        assert len(set(chosen(subset))) == len(subset) == size
        assert [row.rank for row in subset.rows] == list(range(1, size + 1))
        assert all(np.isfinite(row.distance) for row in subset.rows)


def test_equal_scores_go_by_the_order_of_sources_and_classes(target, make_bank):
    same = np.ones((3, 8))
    sources = [make_bank(same, dataset=f"folder:{name}", classes=["q", "b", "k"]) for name in ("z", "a")]
    subset = select_classes([target], sources, classes=4, strategy="nearest", geometry="euclidean")
    assert chosen(subset) == [("folder:z", "q"), ("folder:z", "b"), ("folder:z", "k"), ("folder:a", "q")]


def test_several_targets_share_a_union(make_bank, sources):
    left = make_bank(sources[0].means[:1], dataset="folder:left")
    right = make_bank((sources[0].means[:1] + sources[1].means[:1]) / 2, dataset="folder:right")
    subset = select_classes(
        [left, right], sources, classes=2, quotas=[None, 6], strategy="nearest", geometry="euclidean"
    )
    alone = {
        bank.name: chosen(select_classes([bank], sources, classes=size, strategy="nearest", geometry="euclidean"))
        for bank, size in ((left, 2), (right, 6))
    }
    assert set(chosen(subset)) == set(alone["folder:left"]) | set(alone["folder:right"])
    assert len(set(chosen(subset))) == len(subset)
    for row in subset.rows:
        key = (row.source, row.class_name)
        ranks = {name: order.index(key) + 1 for name, order in alone.items() if key in order}
        assert set(row.targets) == set(ranks)
        assert row.rank == min(ranks.values())
    assert [row.rank for row in subset.rows] == sorted(row.rank for row in subset.rows)
    first = next(row for row in subset.rows if row.class_name == "c0" and row.source == "folder:a")
    assert (first.rank, first.distance) == (1, 0.0)


def test_few_images_drop_out_of_the_sources_only(target, sources):
    subset = select_classes([target], sources, strategy="all", min_count=5)
    assert {(row.class_name, row.count) for row in subset.rows} == {
        ("c4", 5),
        ("c5", 6),
        ("v", 30),
        ("w", 20),
        ("x", 10),
        ("y", 5),
    }


def test_provenance_says_how_and_survives_the_file(target, sources, tmp_path):
    subset = select_classes([target], sources, classes=3, min_count=2, seed=4)
    provenance = subset.provenance
    assert (provenance["min_count"], provenance["seed"]) == (2, 4)
    assert [bank["dataset"] for bank in provenance["sources"]] == ["folder:a", "folder:b"]
    assert [bank["classes"] for bank in provenance["sources"]] == [5, 4]
    assert [(bank["dataset"], bank["quota"]) for bank in provenance["targets"]] == [("folder:target", 3)]
    subset.write(tmp_path / "subset.csv")
    assert Subset.read(tmp_path / "subset.csv") == subset
    assert json.loads(json.dumps(subset.to_json())) == subset.to_json()


def test_provenance_tells_whether_the_square_root_was_taken(target, sources, make_bank):
    signed = make_bank(-target.means, target.counts, dataset="folder:signed")
    for bank, taken in ((target, True), (signed, False)):
        provenance = select_classes([bank], sources, classes=3, geometry="sqrt-whitened").provenance
        assert (provenance["geometry"], provenance["square_root"]) == ("sqrt-whitened", taken)


@pytest.mark.parametrize("size", [0, -3, 12])
def test_impossible_sizes(target, sources, size):
    with pytest.raises(InputError, match=rf"`classes` {size}: .*11 classes; ask for 1 to 11"):
        select_classes([target], sources, classes=size)
    with pytest.raises(InputError, match=rf"`classes` {size}: .*folder:target"):
        select_classes([target], sources, classes=2, quotas=[size])


def test_what_is_refused(target, sources, make_bank):
    with pytest.raises(InputError, match=r"`strategy` all.*leave out `classes`"):
        select_classes([target], sources, strategy="all", classes=3)
    with pytest.raises(InputError, match=r"`strategy` best.*local-scaling, nearest"):
        select_classes([target], sources, strategy="best", classes=3)
    with pytest.raises(InputError, match="`geometry` flat"):
        select_classes([target], sources, geometry="flat", classes=3)
    with pytest.raises(InputError, match="`source`: folder:a is given twice"):
        select_classes([target], [sources[0], sources[0]], classes=3)
    with pytest.raises(InputError, match="';'"):
        select_classes([make_bank(target.means, dataset="folder:a;b")], sources, classes=3)
    with pytest.raises(InputError, match="of at least 5 images; ask for 1 to 6"):
        select_classes([target], sources, classes=7, min_count=5)
    with pytest.raises(InputError, match="backbone"):
        select_classes([target], [make_bank(np.ones((2, 8)), backbone="other")], classes=1)
    with pytest.raises(ValueError, match="`quotas` must have one entry a target, got 2 for 1"):
        select_classes([target], sources, classes=3, quotas=[1, 2])
    with pytest.raises(ValueError, match="`targets` must hold at least one"):
        select_classes([], sources, classes=3)
    with pytest.raises(ValueError, match="`sources` must hold at least one"):
        select_classes([target], [], classes=3)


def test_leaving_out_takes_all_but_the_last(target, sources):
    ranked = chosen(select_classes([target], sources, classes=11))
    for drop in (1, 4, 10):
        subset = select_classes([target], sources, drop=drop)
        assert chosen(subset) == ranked[: 11 - drop]
        dropped = [(row["source"], row["class"]) for row in subset.provenance["dropped"]]
        assert dropped == ranked[: 10 - drop : -1]
        (asked,) = subset.provenance["targets"]
        assert asked["chosen"] == 11 - drop
        assert asked["share"] == pytest.approx(sum(row.weight for row in subset.rows))
    assert "dropped" not in select_classes([target], sources, classes=3).provenance


def test_of_several_targets_the_best_rank_of_a_class_saves_it(make_bank, sources):
    left = make_bank(sources[0].means[:1], dataset="folder:left")
    right = make_bank(sources[1].means[:1], dataset="folder:right")
    options = {"strategy": "nearest", "geometry": "euclidean"}
    orders = [chosen(select_classes([bank], sources, classes=11, **options)) for bank in (left, right)]
    kept = chosen(select_classes([left, right], sources, drop=5, **options))
    best = {class_: min(order.index(class_) for order in orders) for class_ in orders[0]}
    assert max(best[class_] for class_ in kept) <= min(best[class_] for class_ in best.keys() - set(kept))
    assert len(kept) == 6


def test_what_cannot_be_left_out_is_refused(target, sources):
    for drop in (0, 11, 12):
        with pytest.raises(InputError, match=rf"`drop` {drop}: not possible; .* 11 classes; give 1 to 10"):
            select_classes([target], sources, drop=drop)
    for size in ({"classes": 3}, {"images": 3}, {"coverage": 0.5}, {"quotas": [2]}):
        with pytest.raises(InputError, match="`drop` 2: takes all classes but the last ones; leave out `classes`"):
            select_classes([target], sources, drop=2, **size)
    with pytest.raises(InputError, match=r"`strategy` all takes every class; leave out .*`drop`"):
        select_classes([target], sources, drop=2, strategy="all")
