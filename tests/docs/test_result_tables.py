"""Tables of benchmarks that are not finished yet, from what the benchmarks' own functions make of small results."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import choice_tables
import numpy as np
import pytest
import result_tables
from recorded import plus_minus
from result_tables import TABLES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    """A function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def cells_of(monkeypatch: pytest.MonkeyPatch):
    """A function from a table and the content of its file to the cells, without no-break spaces."""

    def cells(name: str, content: Any) -> list[list[str]]:
        for module in (result_tables, choice_tables):
            monkeypatch.setattr(module, "recorded", lambda file: {TABLES[name].file: content}[file])
        rows = TABLES[name].markdown().replace("\N{NO-BREAK SPACE}", " ").splitlines()[2:]
        return [[cell.strip() for cell in row[1:-1].split("|")] for row in rows]

    return cells


def test_uses_of_a_choice(benchmark, cells_of):
    rows = [
        {"choice": choice, "use": "subset", "loss": "softmax", "target": target, "seed": "0", "top1": str(top1)}
        for choice, top1s in (
            ("all", (0.2, 0.4, 0.3)),
            ("random", (0.3, 0.4, 0.3)),
            ("default", (0.5, 0.7, 0.9)),
        )
        for target, top1 in zip(("a-1", "a-2", "b"), top1s, strict=True)
    ]
    few = benchmark("selection_pays_table").summary(rows)
    assert cells_of("uses", {"pools": {"lake": {"labelled": {"few": few}}}}) == [
        ["all, subset", "30.0", "−3.3 ± 3.3", "", "−2.5 ± 2.5", ""],
        ["random, subset", "33.3", "", "+3.3 ± 3.3", "", "+2.5 ± 2.5"],
        ["default, subset", "70.0", "+36.7 ± 12.0", "+40.0 ± 10.0", "+42.5 ± 17.5", "+45.0 ± 15.0"],
    ]


def test_changes_of_the_protocol(cells_of):
    def less(mean: float) -> dict[str, Any]:
        targets = {"birds": 1, "birds-1": 1, "plants": 1}
        return {"mean": mean, "error": 0.5, "targets": targets, "of_families": {"mean": mean + 1, "error": None}}

    top1 = {"birds": 50, "birds-1": 50, "plants": 50}
    some = {"seeds": [1], "top1": {"birds-1": 50, "plants": 50}}
    few = {
        "all, subset": {"seeds": [2], "top1": top1},
        "default, subset": {"seeds": [1, 2], "top1": top1, "less_random": less(0.2), "less_all": less(1.4)},
        "default-80, subset": some | {"less_all": less(-1)},
        "hand, subset": some | {"less_all": less(2)},
        "default-160, subset": {"seeds": [1], "top1": {"plants": 50}, "less_all": less(3)},  # not yet complete
    }
    protocol = {"classes": 40}
    pools = {
        name: {"labelled": {"few": few}, "protocol": protocol} for name in ("tiny-imagenet", "tiny-imagenet-longer")
    }
    default = ["40 classes", "2 × 1 or 2", "+0.2 ± 0.5", "+1.4 ± 0.5", "+1.2", "+2.4"]
    assert cells_of("changes", {"pools": pools}) == [
        ["hard case, 11 passes", *default],
        ["hard case, 11 passes", "80 classes", "2 × 1", "", "−1.0 ± 0.5", "", "+0.0"],
        ["hard case, 42 passes", *default],
        ["hard case, 42 passes", "80 classes", "2 × 1", "", "−1.0 ± 0.5", "", "+0.0"],
        ["hard case, 42 passes", "by hand", "2 × 1", "", "+2.0 ± 0.5", "", "+3.0"],
    ]
    assert [row[0] for row in cells_of("uses-hard", {"pools": pools})] == [
        "all, subset",
        "default, subset",
        "hand, subset",
    ]


def test_a_large_lake(cells_of):
    row = {
        "images": "10000000",
        "step": "duplicates",
        "seconds": "99.6",
        "cpu_seconds": "150.2",
        "peak_gib": "3.217",
        "false_alarms": "12",
    }
    row |= {"recall": "same 1.0000 noisy 0.9930"}
    assert cells_of("large-lake", {"steps": [row, row | {"step": "target"}]}) == [
        ["10,000,000", "`duplicates`", "100", "150", "3.2", "same: 1.0000, noisy: 0.9930", "12"],
    ]


def test_influences_and_what_is_left_out(benchmark, cells_of):
    table = benchmark("influence_table")
    influences = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]])
    places = {"sqrt-whitened x": np.array([[0, 2], [1, 1], [2, 0]]), "other": np.array([[0, 0], [1, 1], [2, 2]])}
    tenths = {"predicted_by": table.prediction(influences, places, "sqrt-whitened x")}
    rows = [{"left_out": kind, "for": "", "a": str(a), "b": str(a)} for kind, a in (("random", 0.5), ("worst", 0.6))]
    content = {"tenths": tenths, "leave_out": table.left_out(rows, ["a", "b"])}
    assert cells_of("influences", content) == [
        ["`sqrt-whitened x`", "+1.00 ± 0.00", ""],
        ["`other`", "+0.00 ± 1.00", ""],
    ]
    assert cells_of("left-out", content) == [["worst", "+10.00 ± 0.00"]]


def test_correlations_are_in_descending_order(cells_of):
    found = {"a": {"mean": 0.2, "interval": [-0.1, 0.5]}, "b": {"mean": 0.7, "interval": [0.5, 0.9]}}
    assert cells_of("correlations", {"within_target_rank_correlation": found}) == [
        ["`b`", "0.70", "0.50 to 0.90"],
        ["`a`", "0.20", "−0.10 to 0.50"],
    ]


def test_gains(cells_of):
    held = {"held": 0.775, "held_of": {"a": 0.55, "b": 1.0}}
    row = {**held, "rank_correlation": 0.5, "error": 2.04, "standard_deviation": 3.0}
    content = {"command": "c", "probability": 0.8, "choices": [], "classes, over_random": row}
    assert cells_of("gains", content) == [["classes, over_random", "0.50", "2.0", "78 %", "55 %"]]


def test_an_error_that_is_not_known_is_left_out():
    assert plus_minus(-1.25, None, "+.1f") == "−1.2"
    assert plus_minus(1.25, 0.5, "+.2f") == "+1.25\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.50"
