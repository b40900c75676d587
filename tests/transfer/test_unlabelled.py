"""Images without labels, from the folder to a pre-training on what was selected; copies of test images left out."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from features import FeatureBank, open_dataset
from features.infrastructure.errors import InputError
from finetune.source_classes import open_sources
from similarity import Subset
from transfer.cli import main

NETWORK = ["--backbone", "resnet8", "--device", "cpu", "--precision", "fp32"]
COLOURS = {"red": (200, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 220), "grey": (120, 120, 120)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A lake of 48 pictures of four colours, at several depths, one of them broken; and a target of red ones."""
    root = tmp_path_factory.mktemp("unlabelled")
    rng = np.random.default_rng(0)

    def draw(path, colour):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(np.array(COLOURS[colour]) + rng.normal(0, 12, (32, 32, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(path)

    for number in range(48):
        colour = list(COLOURS)[number % 4]
        draw(root / "lake" / f"{number % 3}" / f"{colour}{number:02d}.png", colour)
    (root / "lake" / "broken.png").write_bytes(b"no picture")
    for number in range(8):
        draw(root / "target" / ("warm" if number < 4 else "cold") / f"{number}.png", "red" if number < 4 else "blue")
    return root


@pytest.fixture
def typed(capsys):
    """A function that types a line and returns what it prints, with ``--json`` as a document."""

    def run(*words: object):
        capsys.readouterr()
        argv = [str(word) for word in words]
        assert main(argv) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in argv else out

    return run


def test_from_a_lake_of_images_to_a_pre_training(place, typed, monkeypatch):
    monkeypatch.chdir(place)
    extraction = [*NETWORK, "--weights", "none", "--workers", 0, "--keep-images", "--max-unreadable", 0.1]
    shown = typed("extract", "images:lake", "--out", "lake.h5", *extraction)
    assert "1 classes, 48 images" in shown and "transfer cluster lake.h5 --out lake-clusters.h5" in shown
    typed("extract", "folder:target", "--out", "target.h5", *extraction)

    shown = typed("cluster", "lake.h5", "--clusters", 6, "--out", "clusters.h5")
    assert "clusters of" in shown and "images by cluster: clusters:clusters.csv" in shown
    assert "transfer select --target TARGET.h5 --source clusters.h5" in shown
    again = typed("cluster", "lake.h5", "--clusters", 6, "--out", "clusters.h5", "--overwrite", "--json")
    assert again["images"] == 48 and again["dataset"] == "clusters:clusters.csv"

    chosen = typed(
        "select", "--target", "target.h5", "--source", "clusters.h5", "--classes", 2, "--out", "subset.csv", "--json"
    )
    assert [row["source"] for row in chosen["selected"]] == ["clusters:clusters.csv"] * 2
    images = open_sources([], "subset.csv").images
    assert images.classes == tuple(sorted(row.class_name for row in Subset.read("subset.csv").rows))
    assert len(images) == sum(row.count for row in Subset.read("subset.csv").rows)

    other = ["cluster", "lake.h5", "--clusters", 5, "--out", "clusters.h5", "--overwrite"]
    typed(*other)  # after the choice
    with pytest.raises(InputError, match=r"clusters:clusters\.csv has changed since its classes were chosen"):
        open_sources([], "subset.csv")
    typed("cluster", "lake.h5", "--clusters", 6, "--out", "clusters.h5", "--overwrite")

    training = ["--epochs", 1, "--batch-size", 8, "--out", "run", "--json"]
    run = typed("pretrain", "--subset", "subset.csv", *NETWORK, *training)
    assert run["images"] == len(images)
    assert typed("inspect", "clusters:clusters.csv", "--json")["classes"] == len(
        FeatureBank.open("clusters.h5").classes
    )
    schemes = typed("inspect", "schemes")
    assert "images: images:DIR: " in schemes and "clusters: clusters:FILE.csv: " in schemes


def test_copies_are_found_and_left_out_of_what_follows(place, typed, monkeypatch):
    monkeypatch.chdir(place)
    originals = sorted((place / "target").rglob("*.png"))
    for number, path in enumerate(originals[:3]):
        Image.open(path).save(place / "lake" / f"copy{number}.bmp")
    extraction = [*NETWORK, "--weights", "none", "--workers", 0, "--keep-images", "--max-unreadable", 0.1]
    typed("extract", "images:lake", "--out", "source.h5", *extraction)
    typed("extract", "folder:target", "--out", "test.h5", *extraction)

    argv = ["duplicates", "source.h5", "--against", "test.h5", "--threshold", 0.999, "--out", "dropped.csv"]
    shown = typed(*argv)
    assert (
        "3 of 51 images are copies (cosine of at least --threshold 0.999; the next image has 0.9" in shown
        and "copy0.bmp" in shown
    )
    same = "--backbone resnet8 --weights none --image-size 32 --keep-images"  # a bank of these can be compared
    assert f"transfer extract {shlex.quote('images:lake?exclude=dropped.csv')} --out source-clean.h5 {same}" in shown
    assert "image of the source" in shown
    lowest = typed("duplicates", "source.h5", "--against", "test.h5", "--threshold", 0.3, "--out", "many.csv")
    head, *lines = lowest.splitlines()
    cosines = [float(line.split()[-1]) for line in lines if ".png  " in line or ".bmp  " in line]
    assert head.endswith("the least similar first; check whether these are copies:")
    assert len(cosines) > 3 and cosines == sorted(cosines)
    inside = typed("duplicates", "source.h5", "--threshold", 1, "--out", "inside.csv")
    assert (
        "0 of 51 images are copies of images that stay (cosine of at least --threshold 1; the next pair has 0."
        in inside
    )
    found = typed(*argv, "--clean-bank", "clean.h5", "--overwrite", "--json")
    assert {row["id"]: row["target_id"] for row in found["duplicates"]} == {
        f"copy{number}.bmp": path.relative_to(place / "target").as_posix() for number, path in enumerate(originals[:3])
    }
    assert found["source"] == "images:lake?exclude=dropped.csv"
    dataset, bank = open_dataset(found["source"]), FeatureBank.open("clean.h5")
    assert bank.counts.tolist() == [48] and len(dataset) == 49  # one is broken
    assert "bank without them: clean.h5" in typed(*argv, "--clean-bank", "clean.h5", "--overwrite")
    reused = typed("extract", found["source"], "--out", "clean.h5", *extraction, "--json")
    assert reused["reused"]
    anew = typed("extract", found["source"], "--out", "anew.h5", *extraction, "--json")
    assert anew["images"] == 48
    np.testing.assert_allclose(FeatureBank.open("anew.h5").means, bank.means, rtol=1e-5, atol=1e-6)
    typed("cluster", "clean.h5", "--clusters", 4, "--out", "clean-clusters.h5")
    images = open_dataset("clusters:clean-clusters.csv")
    assert len(images) == 48 and not any(id_.startswith("copy") for id_ in images.ids)
