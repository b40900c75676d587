"""Benchmarks import, record in one way, and every recorded result names its command and versions."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import sem

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
RESULTS = sorted((BENCHMARKS / "results").rglob("*.json"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_can_be_imported(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert hasattr(module, "main") or name in (
        "influence_table",
        "lake",
        "plan_arithmetic",
        "recording",
        "related_classes",
        "selection_pays_table",
        "unlabelled_lake",
    )


def test_a_result_is_recorded_with_versions_and_without_paths(tmp_path: Path) -> None:
    recording = importlib.import_module("recording")
    path = tmp_path / "new" / "result.json"
    recording.record(path, {"command": "python x.py", "spec": f"folder:{recording.WORK}/data"}, "scipy")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["command"] == "python x.py" and found["spec"] == "folder:data"
    assert {"python", "torch", "numpy", "scipy"} <= found["versions"].keys()
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_standard_error_is_that_of_the_sample() -> None:
    recording = importlib.import_module("recording")
    values = np.random.default_rng(0).normal(size=9)
    assert recording.standard_error(values) == pytest.approx(sem(values), rel=1e-12)
    assert recording.standard_error([1.0]) is None


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.relative_to(BENCHMARKS).as_posix())
def test_a_recorded_result_names_its_command_and_versions(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["versions"]
    assert result.get("command") or result.get("recipe")  # an experiment's is: transfer run RECIPE
