"""Files of features on the command line: a ranking and a choice, and one line where images are needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import DATA

from features.infrastructure.console import say_once
from transfer.cli import main

MEANS = DATA / "imagenet_fgvc_class_means.npz"
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "selection_quality.json"


@pytest.fixture
def arrays():
    if not MEANS.is_file():
        pytest.skip(f"{MEANS} is not there")
    with np.load(MEANS) as found:
        yield dict(found)


@pytest.fixture
def given(arrays, said, tmp_path):
    """The banks of ImageNet's and CUB's class means under a backbone."""

    def made(backbone):
        for out, query in (
            ("imagenet", f"means=imagenet.{backbone}&names=imagenet.names"),
            ("cub", f"means=CUB.{backbone}"),
        ):
            said("extract", f"features:{MEANS}?{query}&model={backbone}", "--out", tmp_path / f"{out}.h5")
        return ["--target", tmp_path / "cub.h5", "--source", tmp_path / "imagenet.h5"]

    return made


def average_precision(relevant):
    places = np.flatnonzero(relevant)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


@pytest.mark.parametrize("backbone", ["supervised", "moco"])
def test_the_choice_for_birds_is_as_good_as_the_recorded_one(arrays, given, said, backbone):
    chosen = said("select", *given(backbone), "--classes", 1000)["selected"]
    names = arrays["imagenet.names"].tolist()
    place = {name: i for i, name in enumerate(names)} | {f"{name} ({i})": i for i, name in enumerate(names)}
    order = [place[row["class"]] for row in chosen]
    recorded = json.loads(RESULTS.read_text())
    expected = recorded["columns"][backbone]["recipes"][recorded["default"]]["groups"]["CUB"]
    assert average_precision(np.isin(order, arrays["CUB.related"])) == pytest.approx(expected, abs=1e-6)
    assert all(row["count"] is None for row in chosen)


def test_the_defaults_rank_and_choose_from_class_means(given, said, capsys, tmp_path, arrays):
    banks = given("supervised")
    say_once.cache_clear()
    assert main(["rank", *map(str, banks)]) == 0
    err = "".join(capsys.readouterr())
    assert err.count("no bank holds a within-class covariance") == 1
    assert "no intervals: of features:" in err and "the number of images of each class is not known" in err
    assert "Traceback" not in err
    found = said("rank", *banks, "--measures", "all")
    assert found["domains"][0]["images"] is None and "frechet" in found["unmeasured"]
    capsys.readouterr()
    assert main(["select", *map(str, banks), "--out", str(tmp_path / "subset.csv")]) == 0
    err = "".join(capsys.readouterr())
    assert "has no images: write the dataset spec of its images into the column source, then" in err
    names = [row["class"] for row in said("inspect", tmp_path / "subset.csv")["selected"]]
    related = {arrays["imagenet.names"][i] for i in arrays["CUB.related"]}
    assert sum(name in related for name in names[:20]) >= 17


def test_inspect_says_what_is_known(given, said, tmp_path):
    given("moco")
    found = said("inspect", tmp_path / "cub.h5")
    assert (found["kind"], found["classes"], found["images"]) == ("bank", 200, None)
    assert (found["statistics"], found["dimensions"], found["backbone"]) == (["mean"], 128, "moco")
    of_file = said("inspect", f"features:{MEANS}?means=CUB.moco&model=moco")
    assert of_file["kind"] == "class means"
    for name in ("classes", "images", "statistics", "dimensions", "backbone", "manifest_sha256"):
        assert of_file[name] == found[name]


@pytest.fixture
def embedded(tmp_path):
    """Two files of features: a target, and a source whose second class is the target's."""
    generator = np.random.default_rng(0)
    for name, centres, each in (("target", [5.0, 6.0], 12), ("source", [-5.0, 5.5, 0.0, 9.0], 20)):
        labels = np.repeat(np.arange(len(centres)), each)
        features = np.abs(generator.normal(size=(len(labels), 8)) + np.array(centres)[labels, None]).astype("f4")
        ids = np.array([f"{name}/{i}" for i in range(len(labels))])
        np.savez(tmp_path / f"{name}.npz", clip=features, label=np.array(["a", "b", "c", "d"])[labels], id=ids)
    return {name: f"features:{tmp_path / name}.npz?label=label&id=id&model=clip" for name in ("target", "source")}


def test_rows_to_a_ranking_and_clusters_and_copies(embedded, said, tmp_path):
    banks = {name: tmp_path / f"{name}.h5" for name in embedded}
    for name, spec in embedded.items():
        found = said("extract", spec, "--out", banks[name], "--keep-images")
        assert found["images"] == {"target": 24, "source": 80}[name] and found["images_per_second"] > 0
    ranked = said("rank", "--target", banks["target"], "--source", banks["source"])["domains"][0]
    assert ranked["images"] == 80 and ranked["nearest_class_distance_interval"][1] is not None
    clusters = said("cluster", banks["source"], "--out", tmp_path / "clusters.h5", "--clusters", 4)
    assert clusters["images"] == 80
    again = said("extract", clusters["dataset"], "--out", tmp_path / "again.h5")
    assert again["images"] == 80 and again["classes"] == clusters["clusters"] - clusters["empty"]
    same = embedded["source"].replace("source.npz", "same.npz")
    (tmp_path / "same.npz").write_bytes((tmp_path / "source.npz").read_bytes())
    said("extract", same, "--out", tmp_path / "same.h5", "--keep-images")
    listed = said("duplicates", banks["source"], "--against", tmp_path / "same.h5", "--out", tmp_path / "c.csv",
                  "--threshold", 0.9)  # fmt: skip
    assert len(listed["duplicates"]) == 80  # each is there


def test_inspect_shows_the_rows_and_their_classes(embedded, said, capsys):
    found = said("inspect", embedded["source"])
    assert (found["kind"], found["classes"], found["images"], found["dimensions"]) == ("dataset", 4, 80, 8)
    assert (found["feature"], found["backbone"]) == ("clip", "clip")
    assert main(["inspect", embedded["source"]]) == 0
    err = "".join(capsys.readouterr())
    assert "features: clip, 8 a row, made by clip; no images" in err and "transfer finetune" not in err


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "SPEC", "--backbone", "resnet8", "--out", "run"],
        ["finetune", "SPEC", "--init", "resnet8", "--out", "run"],
        ["fit-classifier", "SPEC", "--method", "linear", "--init", "resnet8", "--out", "run"],
        ["rank-models", "--target", "SPEC", "--model", "resnet8"],
        [
            "finetune",
            "digits:@train?per_class=2",
            "--test",
            "SPEC",
            "--init",
            "resnet8",
            "--weights",
            "none",
            "--out",
            "run",
        ],
    ],
)
def test_where_images_are_needed_there_is_one_line(embedded, refused, tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refused(*(embedded["source"] if word == "SPEC" else word for word in words))
    assert "features has no images, and here they are needed; give the dataset of the images" in line
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_run_is_not_evaluated_on_features(embedded, refused, made_run):
    assert "features has no images" in refused("evaluate", made_run, embedded["source"])


def test_a_choice_of_classes_of_features_is_not_trained_on(embedded, said, refused, tmp_path):
    for name, spec in embedded.items():
        said("extract", spec, "--out", tmp_path / f"{name}.h5")
    banks = ["--target", tmp_path / "target.h5", "--source", tmp_path / "source.h5"]
    said("select", *banks, "--classes", 2, "--out", tmp_path / "subset.csv")
    line = refused("pretrain", "--subset", tmp_path / "subset.csv", "--backbone", "resnet8", "--out", tmp_path / "run")
    assert "features has no images" in line


def test_options_of_networks_are_refused_as_they_are_typed(embedded, refused, tmp_path):
    line = refused("extract", embedded["source"], "--out", tmp_path / "b.h5", "--backbone", "resnet50")
    assert "--backbone resnet50: the features of features:" in line and "without a network; leave it out" in line
