"""Sources have one number, and scores one name: on the screens of rank and select, and in the subset file."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from features import FeatureBank
from transfer.cli import main

#: Dataset specs too long for the columns of a table, the nearest to the target last.
LONG = [f"folder:a/very/long/path/to/photographs/{name}" for name in ("far", "middle", "near")]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The banks of a target and of three sources, in the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    target = rng.normal(size=(4, 3))
    for number, (name, dataset) in enumerate(zip(("t", "far", "middle", "near"), ["folder:t", *LONG], strict=True)):
        means = (target + (0, 9, 3, 0.1)[number]).astype(np.float32)
        about = {"dataset": dataset, "backbone": "b", "weights_sha256": "w", "transform": "t", "pooling": "avg"}
        classes = tuple(f"{name}{i}" for i in range(4))
        ones, within = np.ones_like(means), np.eye(3, dtype=np.float32)
        FeatureBank(classes, np.full(4, 20), means, ones, within, about).write(tmp_path / f"{name}.h5")
    return ["--target", "t.h5", "--source", "far.h5", "middle.h5", "near.h5", "--geometry", "euclidean"]


def numbered(text: str) -> dict[int, str]:
    return {int(number): spec for number, spec in re.findall(r"^source (\d+): (\S+)$", text, flags=re.M)}


def test_rank_and_select_number_the_sources_as_they_are_given(files, capsys):
    assert main(["rank", *files]) == 0
    shown = capsys.readouterr().out
    assert numbered(shown) == dict(enumerate(LONG, start=1))
    table = shown.partition("nearest source class:\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert [int(line.split()[0]) for line in table] == [3, 2, 1]
    assert main(["select", *files, "--strategy", "nearest", "--classes", "6", "--out", "s.csv"]) == 0
    shown = capsys.readouterr().out
    chosen = numbered(shown)
    assert chosen and chosen.items() <= dict(enumerate(LONG, start=1)).items() and 3 in chosen
    rows = [line.split() for line in shown.splitlines()[1:7]]
    assert all(LONG[int(row[-1]) - 1].endswith(row[1].rstrip("0123")) for row in rows)


def test_columns_on_the_screen_are_called_as_in_the_file(files, capsys):
    assert main(["select", *files, "--classes", "6", "--out", "s.csv"]) == 0
    shown = capsys.readouterr().out
    lines = Path("s.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    head = shown.splitlines()[0].replace(",", "").split()
    assert {"rank", "class", "images", "score", "weight", "source"} == set(head) - {"%"}
    assert {*head} - {"%", "images", "score"} <= rows[0].keys()  # images: the column count; score: distance
    first = shown.splitlines()[1].split()
    assert float(first[3]) == pytest.approx(float(rows[0]["distance"]), abs=1e-4)
    assert float(first[4]) == pytest.approx(100 * float(rows[0]["weight"]), abs=0.06)
