"""``transfer try``: from a folder of photographs to a verdict, a page, a model and predictions."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import DATA

from features import open_dataset
from finetune.run_directory import open_run
from transfer.archives import unpack
from transfer.cli import main

TWO_CORES = ["--device", "cpu", "--workers", "2"]


@pytest.fixture
def photographs(tmp_path, monkeypatch) -> Path:
    """Three classes of seven digits, a copy in one of them, and an image beside the folders."""
    monkeypatch.chdir(tmp_path)
    digits = open_dataset("digits:@train?per_class=7")
    for i, label in enumerate(digits.labels):
        if label < 3:
            folder = Path("photos") / f"digit {label}"
            folder.mkdir(parents=True, exist_ok=True)
            digits.image(i).resize((96, 96)).save(folder / f"{i}.png")
    first = sorted(Path("photos/digit 0").iterdir())[0]
    shutil.copy(first, "photos/digit 0/copy.png")
    shutil.copy(first, "photos/new.png")
    return Path("photos")


def test_a_folder_becomes_a_verdict_a_page_and_a_model(photographs, said, capsys):
    found = said("try", photographs, "--minutes", "30", *TWO_CORES)
    out = Path("runs/try-photos")
    assert list(found["accuracy"]) == ["linear probe", "fine-tuned"] and not found["left_out"]
    assert found["images"] == 4 and len(found["sentences"]) == 3  # a fifth of eight, of seven and of seven

    # The two parts have no image in common, and the copies are on one side.
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    train, test = (set(open_dataset(recipe[part]).ids) for part in ("target", "test"))
    assert len(train) == 18 and len(test) == 4 and not train & test
    copies = {"digit 0/copy.png", min(id_ for id_ in train | test if id_.startswith("digit 0"))}
    assert copies <= train or copies <= test

    # The figure of each start is that of its run, and of its predictions.
    for name, run in found["starts"].items():
        assert found["accuracy"][name]["value"] == pytest.approx(open_run(run)["metrics"]["top1"])
        with Path(out, "predictions", f"{name.replace(' ', '-')}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["image"] for row in rows} == test
        right = np.mean([row["class"] == row["label"] for row in rows])
        assert right == pytest.approx(found["accuracy"][name]["value"])
    best = found["starts"][found["best"]]
    assert Path(found["model"], "metrics.json").read_text() == Path(best, "metrics.json").read_text()
    assert all(sentence in Path(found["report"]).read_text() for sentence in found["sentences"][1:2])
    with Path(found["predictions"]["loose"]).open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["new.png"]

    # Again: everything is reused. Then the model predicts, and the recipe runs by itself.
    finished = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors") if "model" not in path.parts}
    assert said("try", photographs, "--minutes", "30", *TWO_CORES) == found
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert said("predict", found["model"], photographs, "--out", "all.csv", *TWO_CORES)["images"] == 23
    assert (
        said("run", out / "recipe.yaml", "--out", out)["arms"][0]["runs"][0]["run"] == found["starts"]["linear probe"]
    )
    assert main(["try", str(photographs), "--seed", "1", "--out", str(out)]) == 2
    assert "holds another trial (seed is 0, asked for 1)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder; give a folder of class folders"),
        (["photos", "--holdout", "1"], "--holdout 1.0: expected above 0 and below 1"),
        (["photos", "--source", "nowhere"], "no such directory: nowhere"),
        (["photos/digit 0"], "has no class folders; put the images of each class into a folder of its own"),
        (["folder:photos?holdout=0.2"], "is a part of a dataset; give the other part"),
        (["photos", "--model", "efficientnet_lite"], "efficientnet_lite"),
        (["photos", "--out", "a,b"], "a dataset spec cannot contain this name"),
        (["photos", "--test", "others"], "no such directory: others"),
    ],
)
def test_what_is_wrong_is_one_line(photographs, refused, change, message):
    assert message in refused("try", *change)
    assert not Path("runs").exists()


def test_too_few_photographs(photographs, refused):
    for folder in list(photographs.iterdir())[1:]:
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    (only,) = photographs.iterdir()
    assert "has one class" in refused("try", photographs)
    for image in sorted(only.iterdir())[1:]:
        image.unlink()
    (photographs / "other").mkdir()
    shutil.copy(next(only.iterdir()), photographs / "other" / "x.png")
    assert "every class has a single image; none can be held out" in refused("try", photographs)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "cub50.tar").is_file(), reason=f"cub50.tar is not in {DATA}")
def test_every_start_is_tried_where_there_is_a_source_and_time(tmp_path, monkeypatch, said):
    monkeypatch.chdir(tmp_path)
    unpack(["cub50.tar", "cub50-other.tar"], DATA, tmp_path)
    birds = [
        f"cub:{name}@train?per_class={images}" for name, images in (("CUB_200_2011", 4), ("CUB_200_2011_other", 3))
    ]
    found = said(
        "try", birds[0], "--test", "cub:CUB_200_2011@test?per_class=3", "--source", birds[1], "--minutes", "200"
    )
    assert list(found["accuracy"]) == [
        "linear probe",
        "fine-tuned",
        "continued on the choice",
        "from the choice alone",
    ]
    assert found["images"] == 150 and "Pre-training on chosen source classes" in found["sentences"][2]
    assert json.loads(Path(found["report"]).with_name("result.json").read_text())["selected"]
