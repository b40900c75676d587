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


def test_the_peak_of_a_command_is_not_that_of_the_process_that_runs_it() -> None:
    recording = importlib.import_module("recording")
    first = recording.run_transfer("--version")
    assert first.output and first.seconds > 0 and first.cpu_seconds > 0 and 0.005 < first.peak_gib < 1
    ballast = np.ones(2**25)
    assert recording.memory("VmRSS") > ballast.nbytes
    assert recording.run_transfer("--version").peak_gib == pytest.approx(first.peak_gib, rel=0.25)
    with pytest.raises(SystemExit, match="transfer nonsense: status 2"):
        recording.run_transfer("nonsense")


def released(numbers: int) -> tuple[int, int, int]:
    """The peak of this process, and its memory and peak after an array came and went."""
    recording = importlib.import_module("recording")
    before = recording.memory("VmHWM")
    np.ones(numbers)
    return before, recording.memory("VmRSS"), recording.memory("VmHWM")


def test_the_peak_of_a_child_counts_what_was_released() -> None:
    recording = importlib.import_module("recording")
    before, now, peak = recording.in_child(released, 2**25)
    assert peak - before > 0.9 * 2**28 > now - before
    assert recording.memory("VmHWM", "Name:\tx\nVmHWM:\t  12 kB\nVmRSS:\t 3 kB\n") == 12 * 1024


@pytest.mark.parametrize(
    ("measured", "there", "expected"),
    [
        ([], [], ["extract", "target", "duplicates", "duplicates --against", "cluster", "select"]),
        (["extract"], ["lake.h5"], ["target", "duplicates", "duplicates --against", "cluster", "select"]),
        (["extract"], [], ["extract", "target", "duplicates", "duplicates --against", "cluster", "select"]),
        (
            ["extract", "target", "duplicates", "duplicates --against", "cluster"],
            ["target.h5", "clusters.h5"],
            ["select"],
        ),
        (
            ["extract", "target", "duplicates", "duplicates --against", "cluster"],
            [],
            ["extract", "target", "cluster", "select"],
        ),
        (["extract", "target", "duplicates --against", "cluster", "select"], [], ["extract", "duplicates"]),
        (["extract", "target", "duplicates", "duplicates --against", "cluster", "select"], [], []),
    ],
)
def test_a_finished_step_of_the_large_lake_is_done_again_only_if_its_file_is_needed(
    measured: list[str], there: list[str], expected: list[str], tmp_path: Path
) -> None:
    for name in there:
        (tmp_path / name).touch()
    assert importlib.import_module("large_lake").to_do(measured, tmp_path) == expected


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.relative_to(BENCHMARKS).as_posix())
def test_a_recorded_result_names_its_command_and_versions(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["versions"]
    assert result.get("command") or result.get("recipe")  # an experiment's is: transfer run RECIPE
