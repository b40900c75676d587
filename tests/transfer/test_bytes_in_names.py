"""Every command works on folders, classes and images whose names are not UTF-8."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from features import open_dataset
from finetune.run_directory import open_run
from transfer.cli import main

SMALL = ["--workers", "0", "--precision", "fp32", "--device", "cpu"]
NETWORK = ["--backbone", "resnet8", "--image-size", "32"]
TRAINING = ["--epochs", "1", "--batch-size", "4", *SMALL]


@pytest.fixture
def dataset(tmp_path):
    """The spec of a folder with such a name, of two classes with such names, and one broken image of 30."""
    root = os.fsencode(tmp_path) + b"/b\xe9te"
    for shade, name in enumerate((b"caf\xe9", b"th\xe9\xff")):
        os.makedirs(root + b"/" + name)
        for i in range(15):
            pixels = np.random.default_rng(i).integers(0, 60, (32, 32, 3)) + 150 * shade
            Image.fromarray(pixels.astype(np.uint8)).save(os.fsdecode(root + b"/" + name + b"/%d\xfe.png" % i))
    (tmp_path / os.fsdecode(b"b\xe9te") / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xff.png")).write_bytes(b"no image")
    return f"folder:{os.fsdecode(root)}"


def test_every_command(dataset, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    other = dataset.replace("folder:", "images:")
    extract = [*NETWORK, "--weights", "none", "--keep-images", *SMALL]
    for command in (
        ["inspect", dataset],
        ["extract", dataset, *extract, "--out", "a.h5"],
        ["extract", other, *extract, "--out", "b.h5"],
        ["inspect", "a.h5"],
        ["cluster", "b.h5", "--clusters", "2", "--out", "c.h5"],
        ["rank", "--target", "a.h5", "--source", "c.h5", "--explain", "why.csv"],
        ["duplicates", "b.h5", "--against", "a.h5", "--out", "copies.csv"],
        ["select", "--target", "c.h5", "--source", "a.h5", "--classes", "2", "--out", "subset.csv"],
        ["inspect", "subset.csv"],
        ["pretrain", "--subset", "subset.csv", *NETWORK, *TRAINING, "--out", "pre"],
        ["finetune", dataset, "--init", "pre", "--test", dataset, *TRAINING, "--out", "fine"],
        ["fit-classifier", dataset, "--init", "pre", "--method", "ncm", *SMALL, "--out", "fit"],
        ["evaluate", "fine", dataset, "--per-class", "classes.csv", *SMALL],
        ["predict", "fine", dataset, "--out", "found.csv", "--features", "found.npz", *SMALL],
        ["predict", "fine", dataset.removeprefix("folder:"), "--out", "found.parquet", *SMALL],
        ["compare", "fit", "fine"],
        ["rank-models", "--target", dataset, "--model", "resnet8:none", *SMALL],
        ["report", "fine"],
        ["inspect", "fine"],
    ):
        assert main(command) == 0, f"{command}: {capfd.readouterr().err}"
    run = open_run("fine")
    assert open_dataset(run["config"]["dataset"]).classes == ("caf\\xe9", "th\\xe9\\xff")
    for file, name in (
        ("fine/log.txt", "\\xff.png"),
        ("classes.csv", "caf\\xe9"),
        ("subset.csv", "caf\\xe9"),
        ("found.csv", "caf\\xe9/0\\xfe.png,"),
    ):
        assert name in (tmp_path / file).read_text(errors="surrogateescape")
    assert main(["inspect", dataset, "--json"]) == 0
    capfd.readouterr().out.encode()  # UTF-8
