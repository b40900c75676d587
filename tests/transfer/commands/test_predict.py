"""``predict``: the screen, the JSON, and what is refused of a run that is there."""

from __future__ import annotations

import csv

import pytest

from features import open_dataset
from transfer.cli import main

TEST = "digits:@test?per_class=4"
CPU = ["--device", "cpu", "--precision", "fp32", "--workers", "0"]


@pytest.fixture
def photos(tmp_path):
    dataset = open_dataset(TEST)
    (tmp_path / "photos").mkdir()
    for i in range(len(dataset)):
        dataset.image(i).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def test_the_json_counts_what_the_file_holds(made_run, said, photos, tmp_path):
    out = tmp_path / "found.csv"
    (photos / "3.png").write_bytes(b"no picture")
    found = said("predict", made_run, photos, "--out", out, *CPU)
    rows = list(csv.DictReader(out.open()))
    assert found.keys() == {"predictions", "features", "images", "unreadable", "unsure", "classes"}
    assert (found["predictions"], found["features"]) == (str(out), None)
    assert (found["images"], found["unreadable"]) == (len(rows), 1) == (40, 1)
    read = [row for row in rows if not row["error"]]
    assert found["unsure"] == sum(float(row["margin"]) < 0.1 for row in read)
    for entry in found["classes"]:
        own = [float(row["probability"]) for row in read if row["class"] == entry["class"]]
        assert entry["images"] == len(own) and entry["probability"] == pytest.approx(sum(own) / len(own))
    numbers = [entry["images"] for entry in found["classes"]]
    assert numbers == sorted(numbers, reverse=True) and sum(numbers) == 39


def test_the_screen(made_run, photos, tmp_path, capsys):
    out = tmp_path / "found.csv"
    (photos / "3.png").write_bytes(b"no picture")
    argv = ["predict", str(made_run), str(photos), "--out", str(out), *CPU]
    assert main(argv) == 0
    shown = capsys.readouterr().out
    assert f"{out}: 40 images, 1 of them unreadable (see the column error)" in shown
    assert "predicted classes:" in shown and "mean probability" in shown and "images are unsure" in shown
    assert "every image gets one of the model's 10 classes, an image of something else too" in shown
    assert f"transfer evaluate {made_run} DATASET" in shown and "--features features.npz" in shown
    features = ["--features", str(tmp_path / "found.npz"), "--overwrite"]
    assert main(["predict", str(made_run), TEST, "--out", str(out), *CPU, *features]) == 0
    shown = capsys.readouterr().out
    assert f"transfer evaluate {made_run} '{TEST}'" in shown and "unreadable" not in shown
    assert "something else" not in shown  # the classes of these images are known
    assert f"features of the images: {tmp_path / 'found.npz'}" in shown


def test_the_wrong_way_round(made_run, refused, photos, tmp_path):
    out = ["--out", tmp_path / "found.csv", *CPU]
    assert f"{made_run}: is a trained model, not a dataset" in refused("predict", photos, made_run, *out)
    assert f"{made_run}: is a trained model, not a dataset" in refused("evaluate", TEST[:6], made_run)
    assert f"{photos}: no trained model there" in refused("predict", photos, photos, *out)
    (tmp_path / "empty").mkdir()
    assert "holds no image; expected files with endings" in refused("predict", made_run, tmp_path / "empty", *out)
    assert not (tmp_path / "found.csv").exists()
