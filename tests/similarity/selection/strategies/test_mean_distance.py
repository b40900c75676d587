"""The paper's greedy ranking, against the transport solver, and every class in that order."""

import numpy as np
import pytest

from similarity import emd, select_classes


def test_nearest_is_the_papers_greedy(target, sources):
    subset = select_classes([target], sources, classes=4, strategy="nearest", geometry="euclidean")
    scores = [
        (emd(bank.means[i : i + 1], np.ones(1), target.means, target.counts).value, bank.name, name, count)
        for bank in sources
        for i, (name, count) in enumerate(zip(bank.classes, bank.counts, strict=True))
    ]
    for rank, (row, expected) in enumerate(zip(subset.rows, sorted(scores)[:4], strict=True), start=1):
        assert (row.source, row.class_name, row.count) == expected[1:]
        assert row.distance == pytest.approx(expected[0], rel=1e-12)
        assert row.rank == rank
        assert row.targets == ("folder:target",)


def test_all_takes_every_class_nearest_first(target, sources):
    subset = select_classes([target], sources, strategy="all")
    distances = [row.distance for row in subset.rows]
    assert len(subset) == 11
    assert distances == sorted(distances)
