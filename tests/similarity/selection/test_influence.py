"""Choosing by a table of measured influences."""

from __future__ import annotations

import csv

import pytest

from features.infrastructure.errors import InputError
from similarity import by_influence, select_classes
from similarity.selection.choosing import select_from
from similarity.selection.influence import COLUMNS
from similarity.selection.limits import Sizes
from similarity.selection.pool import SourcePool

#: Influence of the classes c0 … c5 and v … z.
MEASURED = [0.1, -0.2, 0.0, 0.4, 0.3, -0.5, 0.02, 0.01, -0.01, 0.5, -0.3]


@pytest.fixture
def pool(target, sources) -> SourcePool:
    return SourcePool.of([target], sources, "euclidean")


@pytest.fixture
def table(tmp_path, pool):
    def write(values=MEASURED, target="folder:target"):
        path = tmp_path / "influence.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, "note"])
            for bank, name, value in zip(pool.bank, pool.classes, values, strict=False):
                writer.writerow([pool.banks[bank].name, name, target, value, "by hand"])
        return path

    return write


def test_the_largest_influence_comes_first(pool, target, sources, table):
    strategy = by_influence(table())
    subset = select_from(pool, [target], strategy, Sizes(classes=4))
    assert subset == select_classes([target], sources, classes=4, strategy=strategy, geometry="euclidean")
    assert [row.class_name for row in subset.rows] == ["y", "c3", "c4", "c0"]
    assert [row.distance for row in subset.rows] == [-0.5, -0.4, -0.3, -0.1]
    assert {row.weight for row in subset.rows} == {None} and subset.provenance["strategy"] == "influence"
    left = select_from(pool, [target], strategy, Sizes(drop=4))
    assert [row["class"] for row in left.provenance["dropped"]] == ["c5", "z", "c1", "x"]


def test_a_table_that_lacks_something_is_refused(pool, target, table):
    with pytest.raises(InputError, match=r"has no target folder:target; it has folder:other"):
        select_from(pool, [target], by_influence(table(target="folder:other")), Sizes(classes=2))
    with pytest.raises(InputError, match=r"has no influence of 2 of 11 classes .*, such as that of 'y' of"):
        select_from(pool, [target], by_influence(table(MEASURED[:9])), Sizes(classes=2))
    with pytest.raises(InputError, match="`classes` is missing"):
        select_from(pool, [target], by_influence(table()), Sizes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source,class,target\na,b,c\n", "column 'influence' must stand in the header once"),
        ("source,class,target,influence\n", "the table has no row"),
        ("source,class,target,influence\na,b,c,much\n", "line 2: influence must be a number, got 'much'"),
        ("source,class,target,influence\na,b,c,nan\n", "line 2: influence must be a number, got 'nan'"),
        ("source,class,target,influence\na,b,c,1\na,b,c,2\n", "line 3: class 'b' of a stands there twice"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        by_influence(tmp_path / "t.csv")
    with pytest.raises(InputError, match="no such table of influences"):
        by_influence(tmp_path / "none.csv")
