"""The map of source and target classes, from banks and a choice."""

from __future__ import annotations

import numpy as np
import pytest

from features import FeatureBank, InputError
from similarity import select_classes
from transfer import map_classes


def bank(name: str, classes: int, seed: int, start: int = 0) -> FeatureBank:
    rng = np.random.default_rng(seed)
    return FeatureBank(
        classes=tuple(f"{name} {start + i}" for i in range(classes)),
        counts=np.full(classes, 5),
        means=rng.random((classes, 6), dtype=np.float32),
        variances=None,
        within_covariance=None,
        attrs={"dataset": name},
    )


def test_it_holds_every_class_once_and_marks_the_choice() -> None:
    target, sources = bank("birds", 3, 0), [bank("list", 9, 1), bank("net", 4, 2)]
    subset = select_classes([target], sources, classes=5, strategy="nearest", geometry="euclidean")
    points = map_classes(target, sources, subset, geometry="euclidean")
    found = {
        kind: {(row["dataset"], row["class"]) for row in points if row["kind"] == kind}
        for kind in ("chosen", "source", "target")
    }
    assert found["chosen"] == {(row.source, row.class_name) for row in subset.rows}
    assert found["target"] == {("birds", name) for name in target.classes}
    assert len(points) == 16 == sum(map(len, found.values()))
    assert np.isfinite([[row["x"], row["y"]] for row in points]).all()


def test_without_a_choice_nothing_is_marked() -> None:
    points = map_classes(bank("birds", 3, 0), [bank("list", 9, 1)], geometry="euclidean")
    assert {row["kind"] for row in points} == {"source", "target"}


def test_a_choice_from_another_source_is_refused() -> None:
    target, source, other = bank("birds", 3, 0), bank("list", 9, 1), bank("net", 4, 2)
    subset = select_classes([target], [source, other], classes=12, strategy="nearest", geometry="euclidean")
    with pytest.raises(InputError, match="`subset`: has classes of net"):
        map_classes(target, [source], subset, geometry="euclidean")
