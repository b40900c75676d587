"""Classes in the plane."""

from __future__ import annotations

import numpy as np
import pytest

from features import FeatureBank
from similarity.selection.pool import SourcePool
from transfer.class_map import class_map


@pytest.fixture
def opened(write_bank):
    """A target and a source whose classes lie in two far groups, of which each holds a half of both."""
    rng = np.random.default_rng(0)
    groups = np.repeat([[0.0] * 8, [50.0] * 8], 20, axis=0)
    source = FeatureBank.open(write_bank("source", groups + rng.normal(size=groups.shape)))
    target = FeatureBank.open(write_bank("target", groups[::5] + rng.normal(size=groups[::5].shape)))
    return SourcePool.of([target], [source], "euclidean"), target


def test_every_class_has_a_place_near_those_that_are_alike(opened):
    pool, target = opened
    found = class_map(pool, target, [0, 39])
    assert [point["kind"] for point in found].count("chosen") == 2
    assert {point["class"] for point in found if point["kind"] == "chosen"} == {"source0", "source39"}
    assert len(found) == 40 + 8
    assert found == class_map(pool, target, [0, 39])
    places = {point["class"]: np.array([point["x"], point["y"]]) for point in found}
    sides = {name: int(name.removeprefix("source")) >= 20 for name in places if name.startswith("source")}
    for i in range(8):
        nearest = min(sides, key=lambda name: np.linalg.norm(places[name] - places[f"target{i}"]))
        assert sides[nearest] == (i >= 4)


def test_a_map_of_many_classes_is_thinned(opened):
    pool, target = opened
    found = class_map(pool, target, np.arange(30), most=15)
    kinds = [point["kind"] for point in found]
    assert (kinds.count("target"), kinds.count("chosen"), kinds.count("source")) == (5, 5, 5)
    assert {(point["kind"], point["of"]) for point in found} == {("target", 8), ("chosen", 30), ("source", 10)}


def test_a_few_classes_have_a_map_too(write_bank):
    source, target = (FeatureBank.open(write_bank(name, [[1, 2]])) for name in ("source", "target"))
    found = class_map(SourcePool.of([target], [source], "euclidean"), target, [0])
    assert [point["kind"] for point in found] == ["chosen", "target"]
    assert all(np.isfinite([point["x"], point["y"]]).all() for point in found)
