"""The accuracies of a training, on the screen and on the page of a run."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from finetune.evaluation.metrics import evaluate_scores
from transfer.accuracies import accuracy_table
from transfer.commands import COMMANDS
from transfer.commands.inspect import InspectConfig, inspect
from transfer.commands.report import ReportConfig, report
from transfer.pages.run import CALLED


@pytest.fixture
def figures() -> dict[str, Any]:
    """Of four classes with 200, 50, 5 and 5 training images; the last one has no image to be judged by."""
    scores = np.eye(4)[[0, 0, 1, 1, 0, 2, 2]]
    found = evaluate_scores(scores, [0, 0, 0, 1, 1, 1, 2], [200, 50, 5, 5], probabilities=True, many=60, few=50)
    return {"evaluated_on": "digits:@test", **found.to_json(), "confusions": [], "unreadable": 0}


ROWS = {
    "accuracy": ["0.5714", "1.0000", "0.6667", "0.6667", "0.3333", "1.0000"],
    "classes": ["3", "3", "3", "1", "1", "1"],
    "images": ["7", "7", "7", "3", "3", "1"],
    "training images per class": ["> 60", "50–60", "< 50"],
}


def rows_of(text: str) -> dict[str, list[str]]:
    """Name → cells of those lines that begin with the name of a row."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return {name: cells for name, *cells in lines if name in ROWS}


@pytest.mark.parametrize("width", [80, 10_000])
def test_accuracies_stand_above_what_they_are_means_of(figures, width, capsys, monkeypatch):
    monkeypatch.setattr("transfer.screen.console.width", width)
    config = SimpleNamespace(per_class=None, run="runs/x", dataset="digits:@test")
    COMMANDS["evaluate"].show()(config, SimpleNamespace(to_json=lambda: figures, classes=tuple("abcd")))
    first, _, said = capsys.readouterr().out.partition("\n")
    assert first == "digits:@test has images of 3 of the model's 4 classes"
    assert said.splitlines()[0].split() == ["top1", "top5", "macro", "many", "medium", "few"]
    assert rows_of(said) == ROWS
    assert "\nexpected calibration error 0.4286\n" in said


def test_a_group_without_classes_is_a_dash(capsys):
    found = evaluate_scores(np.eye(2), [0, 1], [200, 300]).to_json()
    COMMANDS["finetune"].show()(
        SimpleNamespace(test="t", search=False, out="o"), SimpleNamespace(metrics=found, run="o")
    )
    rows = rows_of(capsys.readouterr().out)
    assert rows["accuracy"] == ["1.0000", "1.0000", "1.0000", "1.0000", "–", "–"]
    assert rows["classes"] == ["2", "2", "2", "2", "0", "0"]


def test_counts_that_are_not_known_and_borders_that_an_older_run_lacks():
    found = evaluate_scores(np.eye(2), [0, 1]).to_json()
    del found["borders"]
    _, rows = accuracy_table(found)
    assert rows[1:] == [["classes", 2, 2, 2, None, None, None], ["images", 2, 2, 2, None, None, None]]


@pytest.fixture
def run(tmp_path: Path, figures: dict[str, Any]) -> Path:
    """What a finished run leaves, without its model."""
    best = {"epoch": 3, "top1": 0.5, "top5": 1.0, "macro": 0.123456, "images": 9}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"loss": "softmax", "init": "resnet8", "epochs": 3}))
    about = {"run": "finetune", "started": "today", "inputs": {}, "versions": {}}
    (tmp_path / "environment.json").write_text(json.dumps(about))
    (tmp_path / "metrics.json").write_text(json.dumps(figures | {"validation": best}))
    return tmp_path


def test_inspect_shows_a_runs_figures_as_evaluate_does(run, capsys):
    config = InspectConfig(what=str(run))
    COMMANDS["inspect"].show()(config, inspect(config))
    said = capsys.readouterr().out
    assert said.startswith("evaluated on digits:@test\n")
    assert rows_of(said) == ROWS
    assert "best epoch 3: macro 0.1235 on 9 validation images" in said
    assert not re.search(r"0\.\d{5}", said)


def test_the_page_has_the_same_table(run):
    page = html.unescape(report(ReportConfig(run=str(run))).path.read_text(encoding="utf-8"))
    lines = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]
    assert found[0] == ["", "top1", "top5", "macro", "many", "medium", "few"]
    assert {name: [text for text in row if text] for name, *row in found if name in ROWS} == ROWS
    assert [CALLED["calibration_error"], "0.4286"] in found and [CALLED["evaluated_on"], "digits:@test"] in found
    assert not any(name in ("top1", "images") and len(row) == 1 for name, *row in found)
