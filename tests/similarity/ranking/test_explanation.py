"""The plan as a table: what its rows sum to, and the file."""

import csv
import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from similarity import emd, explain, rank_domains, write_explanation


@pytest.fixture
def transport():
    rng = np.random.default_rng(0)
    return emd(
        rng.standard_normal((12, 3)), rng.integers(1, 30, 12), rng.standard_normal((5, 3)), rng.integers(1, 30, 5)
    )


NAMES = [f"s{i}" for i in range(12)], [f"t{i}" for i in range(5)]


@pytest.mark.parametrize("top", [None, 1, 2])
def test_contributions_sum_to_the_distance_and_shares_to_one(transport, top):
    rows = explain(transport, *NAMES, top=top)
    assert sum(row.contribution for row in rows) == pytest.approx(transport.value, rel=1e-12)
    shares, costs = defaultdict(float), defaultdict(float)
    for row in rows:
        shares[row.target_class] += row.share
        costs[row.target_class] += row.contribution
    assert shares == pytest.approx(dict.fromkeys(NAMES[1], 1.0), rel=1e-9)
    assert list(costs.values()) == sorted(costs.values(), reverse=True)
    named = Counter(row.target_class for row in rows if not row.folded)
    if top is not None:
        folded = {row.target_class: row.folded for row in rows if row.folded}
        assert all(named[name] == top and count > 1 for name, count in folded.items())
        assert all(named[name] <= top + 1 for name in named.keys() - folded.keys())
        assert len(rows) < len(explain(transport, *NAMES))


def test_rows_by_hand():
    x, y = np.array([[0.0], [1.0], [10.0]]), np.array([[0.0], [12.0]])
    rows = explain(emd(x, np.array([1, 1, 2]), y, np.array([1, 1])), "abc", "pq")
    found = [(row.target_class, row.source_class, row.share, row.distance, row.contribution) for row in rows]
    assert found == [("q", "c", 1.0, 2.0, 1.0), ("p", "a", 0.5, 0.0, 0.0), ("p", "b", 0.5, 1.0, 0.25)]


def test_what_is_folded_is_counted_and_weighted():
    x = np.array([[0.0], [1.0], [3.0]])
    rows = explain(emd(x, np.array([4, 1, 1]), np.zeros((1, 1)), np.ones(1)), "abc", "p", top=1)
    assert rows[0].source_class == "a" and rows[0].share == pytest.approx(4 / 6)
    assert (rows[1].source_class, rows[1].folded) == ("", 2)
    assert (rows[1].distance, rows[1].contribution) == pytest.approx((2.0, 4 / 6))


def test_classes_without_mass_have_no_row():
    x = np.array([[0.0], [5.0]])
    rows = explain(emd(x, np.array([1, 0]), x, np.array([1, 0])), "ab", "pq")
    assert [(row.target_class, row.source_class) for row in rows] == [("p", "a")]


def test_what_is_refused(transport):
    with pytest.raises(ValueError, match="12 rows and 5 columns, got 11 and 5 names"):
        explain(transport, NAMES[0][1:], NAMES[1])
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        explain(transport, *NAMES, top=0)


def test_the_file_holds_every_domain(make_bank, tmp_path):
    rng = np.random.default_rng(1)
    target = make_bank(rng.random((3, 4)), dataset="folder:target", classes=["a, b", '"q"', "é"])
    sources = [make_bank(rng.random((5, 4)) + shift, dataset=f"folder:{shift}") for shift in (0, 3)]
    ranking = rank_domains(target, sources)
    path = tmp_path / "deep" / "why.csv"
    write_explanation(ranking, path)
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    provenance = json.loads(first.removeprefix("#"))
    assert provenance["target"] == "folder:target"
    assert provenance["gamma"] == ranking.gamma
    assert (provenance["geometry"], provenance["geometry_steps"]) == (ranking.geometry, ranking.geometry_steps)
    totals = defaultdict(float)
    for row in csv.DictReader(lines):
        assert row["target_class"] in target.classes
        totals[row["source"]] += float(row["contribution"])
    assert totals == pytest.approx({row["source"]: row["distance"] for row in provenance["sources"]}, rel=1e-12)
    assert provenance["order"] == "nearest-class"
    assert totals == pytest.approx({d.source: d.nearest_class_distance for d in ranking.domains}, rel=1e-6)
    write_explanation(rank_domains(target, sources, order="emd"), path)
    provenance = json.loads(path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#"))
    assert {row["source"]: row["distance"] for row in provenance["sources"]} == {
        d.source: d.emd for d in ranking.domains
    }
    assert [path.name] == [entry.name for entry in path.parent.iterdir()]
