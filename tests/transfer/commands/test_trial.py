"""``transfer try``: from a folder of photographs to a verdict, a page, a model and predictions."""

from __future__ import annotations

import csv
import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from support import DATA

from features import open_dataset
from finetune.model import ImageClassifier
from finetune.run_directory import open_run
from transfer.archives import unpack
from transfer.cli import main
from transfer.commands.trial import TrialConfig, show
from transfer.trial.trying import Trial

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
    page = html.unescape(Path(found["report"]).read_text())
    assert all(sentence in page for sentence in found["sentences"])
    with Path(found["predictions"]["loose"]).open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["new.png"]

    # timm loads the model, and it has the run's logits.
    network = timm.create_model(f"local-dir:{found['hub']}", pretrained=True).eval()
    ours, _ = ImageClassifier.open(found["model"])
    pixels = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), ours.eval()(pixels), rtol=1e-3, atol=1e-3)

    # Again: everything is reused. Then the model predicts, and the recipe runs by itself.
    finished = {path: path.stat().st_mtime_ns for path in Path(out, "finetune").rglob("*.safetensors")}
    assert said("try", photographs, "--minutes", "30", *TWO_CORES) == found
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert said("predict", found["model"], photographs, "--out", "all.csv", *TWO_CORES)["images"] == 23
    assert (
        said("run", out / "recipe.yaml", "--out", out)["arms"][0]["runs"][0]["run"] == found["starts"]["linear probe"]
    )
    assert main(["try", str(photographs), "--seed", "1", "--out", str(out)]) == 2
    assert "holds another trial (seed is 0, asked for 1)" in capsys.readouterr().err


def test_the_screen_says_what_was_left_out_and_commands_that_can_be_typed(capsys):
    figure = {"value": 0.8, "low": 0.7, "high": 0.9}
    content = {"accuracy": {"linear probe": figure}, "lead": {}, "sentences": ["It is right."], "optimism": 0.0}
    content |= {"left_out": {"fine-tuned": 7.2}, "predictions": {}, "model": "runs/my try/model", "hub": None}
    content |= {"report": "runs/my try/report.html", "recipe": "runs/my try/recipe.yaml"}
    show(TrialConfig(photographs="photos"), Trial(Path("runs/my try"), content))
    shown = capsys.readouterr().out
    assert "It is right.\nLeft out, because the time is too short: fine-tuned (--minutes 8).\n" in shown
    assert "transfer predict 'runs/my try/model' NEW_PHOTOGRAPHS/" in shown
    assert "transfer run 'runs/my try/recipe.yaml' --out 'runs/my try' " in shown


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
        (
            ["photos", "--model", "a", "b", "--source", "x.h5"],
            "--source x.h5: is a bank, whose features are those of one",
        ),
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


def test_what_a_trial_rests_on_is_noticed_when_it_changes(photographs, said, refused):
    """Copies of test images, in the photographs and in a source, are left out; new test images make a new plan."""
    tests, source = Path("tests"), Path("source")
    for label in range(3):
        (tests / f"digit {label}").mkdir(parents=True)
        first, second, *_ = sorted((photographs / f"digit {label}").glob("[0-9]*.png"))
        mirrored = Image.open(first).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(tests / f"digit {label}" / "mirrored.png")
        shutil.copytree(photographs / f"digit {label}", source / f"other {label}")
    argv = [
        "try",
        photographs,
        "--test",
        tests,
        "--source",
        f"folder:{source}?per_class=50",
        "--minutes",
        "0.01",
        *TWO_CORES,
    ]
    found = said(*argv)
    assert list(found["accuracy"]) == ["linear probe"]  # no time for more
    assert "does not fit into this time" in found["sentences"][2]
    recipe = yaml.safe_load(Path("runs/try-photos/recipe.yaml").read_text())
    assert len(open_dataset(recipe["target"])) <= 22 - 3 and "exclude=" in recipe["target"]
    assert len(open_dataset(recipe["sources"][0])) <= 22 - 3 and "exclude=" in recipe["sources"][0]

    shutil.copy(second, tests / "digit 2" / "another.png")
    assert said(*argv)["images"] == 4
    assert (
        str(second.relative_to(photographs))
        not in open_dataset(yaml.safe_load(Path("runs/try-photos/recipe.yaml").read_text())["target"]).ids
    )

    with Path("runs/try-photos/recipe.yaml").open("a") as file:
        file.write("# mine\n")
    assert "recipe.yaml: was edited since the trial wrote it" in refused(*argv)


def test_a_sampled_target_is_split_without_copies_between_the_parts(photographs, said):
    argv = ["try", f"folder:{photographs}?per_class=5", "--minutes", "0.01", "--out", "runs/few", *TWO_CORES]
    assert said(*argv)["images"] == 3
    recipe = yaml.safe_load(Path("runs/few/recipe.yaml").read_text())
    train, test = (set(open_dataset(recipe[part]).ids) for part in ("target", "test"))
    assert not train & test and len(train) <= 15


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
