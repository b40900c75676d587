"""``rank``: the options reach the library, invalid ones are refused before any work, and the screen."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch

from features import ExtractConfig, FeatureBank, extract
from features.infrastructure.errors import InputError
from similarity import MEASURES, measure, rank_domains
from similarity.measures import side_by_side
from transfer.cli import main
from transfer.commands.rank import RankConfig, rank, show

TRAIN, TEST = "digits:@train?per_class=12", "digits:@test?per_class=8"
CPU = {"device": "cpu", "precision": "fp32", "workers": 0}


def test_rank_is_the_librarys_ranking(banks):
    sources = [banks["far"], banks["near"]]
    options = {"geometry": "euclidean", "gamma": 0.1, "min_count": 6, "bootstrap": 5, "seed": 2}
    found = rank(RankConfig(target=banks["target"], source=sources, **options)).to_json()
    expected = rank_domains(FeatureBank.open(banks["target"]), [FeatureBank.open(path) for path in sources], **options)
    assert found == expected.to_json()
    assert found["target"] == "folder:target"
    assert [domain["source"] for domain in found["domains"]] == ["folder:near", "folder:far"]
    near = found["domains"][0]
    assert near["classes"] == 2  # the third has 5 images, fewer than min_count
    assert near["images"] == 50
    assert near["similarity"] == pytest.approx(math.exp(-0.1 * near["emd"]))


def test_rank_calibrates_gamma_and_explains(banks, tmp_path):
    out = tmp_path / "deep" / "why.csv"
    config = RankConfig(
        target=banks["target"],
        source=[banks["far"], banks["near"]],
        geometry="euclidean",
        bootstrap=0,
        explain=str(out),
    )
    found = rank(config).to_json()
    assert found["gamma"] == pytest.approx(math.log(2) / 2)  # the target's two classes lie 2 apart
    first, *lines = out.read_text().splitlines()
    assert json.loads(first.removeprefix("#"))["gamma"] == found["gamma"]
    rows = list(csv.DictReader(lines))
    for domain in found["domains"]:
        costs = [float(row["contribution"]) for row in rows if row["source"] == domain["source"]]
        assert sum(costs) == pytest.approx(domain["nearest_class_distance"], rel=1e-12)


def test_the_documented_keys_of_the_ranking(made_bank, said):
    target, near, far = (
        made_bank(name, spec)
        for name, spec in (("target", TEST), ("near", TRAIN), ("far", "digits:?per_class=3&seed=5"))
    )
    found = said("rank", "--target", target, "--source", near, far, "--bootstrap", 3)
    assert found["target"] == TEST
    assert len(found["domains"]) == 2
    for domain in found["domains"]:
        assert {"source", "emd", "similarity", "interval", "classes", "images"} <= domain.keys()
        assert len(domain["interval"]) == 2
    first, second = (domain["nearest_class_distance_estimate"] for domain in found["domains"])
    assert first <= second
    paper = said("rank", "--target", target, "--source", near, far, "--order", "emd", "--bootstrap", 0)
    assert paper["domains"][0]["emd"] <= paper["domains"][1]["emd"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gamma": 0.0}, "`gamma` 0.0: expected above 0"),
        ({"gamma": float("nan")}, "`gamma` nan: expected above 0"),
        ({"min_count": -1}, "`min_count` -1: expected at least 0"),
        ({"gamma": math.inf}, "`gamma` inf: expected above 0"),
        ({"bootstrap": -1}, "`bootstrap` -1: expected at least 0"),
        ({"bootstrap": 1}, "`bootstrap` 1: expected 0, or at least 2"),
        ({"geometry": "flat"}, "flat"),
        ({"order": "emd2"}, "`order` emd2: there is no such order; did you mean emd?"),
    ],
)
def test_wrong_rank_options(banks, given, message):
    with pytest.raises(InputError) as refusal:
        rank(RankConfig(target=banks["target"], source=[banks["near"]], **given))
    assert message in str(refusal.value)


def test_a_ranking_says_that_one_class_is_little(banks, write_bank, capsys):
    lake = write_bank("lake", [[5, 0]])
    config = RankConfig(target=banks["target"], source=[banks["near"], lake], bootstrap=0)
    show(config, rank(config))
    said = capsys.readouterr().out
    assert "folder:lake has one class, so only its mean counts; transfer cluster" in said
    assert "folder:near has one class" not in said


def test_measures_none_of_which_can_be_taken_are_refused(banks):
    with pytest.raises(InputError, match="`measures` mmd: needs the source's images: extract folder:near with"):
        rank(RankConfig(target=banks["target"], source=[banks["near"]], measures=["mmd"], bootstrap=0))
    with pytest.raises(
        InputError, match="`measures` knn: compares models, not sources; leave it out, or use: transfer rank-models"
    ):
        RankConfig(target=banks["target"], source=[banks["near"]], measures=["mmd", "knn"])


def test_measures_of_sources_stand_beside_their_distance(tmp_path, capsys):
    options = {"backbone": "resnet8", "weights": "none", **CPU}
    paths = []
    for name, spec, keep in (
        ("target", TRAIN, True),
        ("near", "digits:@test?per_class=9", True),
        ("far", "digits:@train?per_class=3", False),
    ):
        torch.manual_seed(0)
        paths.append(str(tmp_path / f"{name}.h5"))
        extract(ExtractConfig(dataset=spec, out=paths[-1], keep_images=keep, **options))
    config = RankConfig(target=paths[0], source=paths[1:], measures=["all"], bootstrap=0)
    ranking = rank(config)
    found = ranking.to_json()
    rows = {row["source"]: row for row in found["domains"]}
    near, far = rows["digits:@test?per_class=9"]["measures"], rows["digits:@train?per_class=3"]["measures"]
    assert near.keys() == MEASURES.keys()
    assert near["emd"] == rows["digits:@test?per_class=9"]["emd"]
    assert near["mmd"] is not None and far["mmd"] is None and far["leep"] is not None
    assert found["unmeasured"]["mmd"].startswith("needs the source's images: extract digits:@train?per_class=3 with")
    assert found["unmeasured"]["knn"].startswith("measures the model on the target")
    banks = [FeatureBank.open(path) for path in paths]
    alone = measure(["frechet"], side_by_side(banks[0], banks[1:])[0])
    assert near["frechet"] == pytest.approx(alone["frechet"].value)
    show(config, ranking)
    said = capsys.readouterr().out
    assert "other measures of transferability" in said and "* the best of its row" in said
    assert said.count("measures the model on the target") == 1
    assert main(["rank", "--target", paths[0], "--source", *paths[1:], "--json"]) == 0
    assert "measures" not in json.loads(capsys.readouterr().out)["domains"][0]


@pytest.mark.parametrize("attribute", ["backbone", "weights_sha256", "transform", "pooling"])
def test_banks_of_another_kind_are_refused(banks, write_bank, attribute):
    alien = write_bank("alien", [[0, 0]], **{attribute: "other"})
    with pytest.raises(InputError) as refusal:
        rank(RankConfig(target=banks["target"], source=[banks["near"], alien]))
    assert f"cannot be compared: {attribute} is" in str(refusal.value)
    assert "alien.h5" in str(refusal.value)


def test_banks_of_another_backbone(banks, write_bank, refused):
    alien = write_bank("alien", [[0, 0]], backbone="resnet50")
    line = refused("rank", "--target", banks["target"], "--source", alien)
    assert "cannot be compared: backbone is 'b' in one and 'resnet50' in the other" in line
    assert "extract both with the same --backbone" in line


def test_missing_banks_say_how_to_make_them(banks):
    with pytest.raises(InputError, match=r"none\.h5: no such feature bank; make one with: transfer extract"):
        rank(RankConfig(target="none.h5", source=[banks["near"]]))


def test_nothing_that_exists_or_is_read_is_replaced(banks, tmp_path):
    hand = tmp_path / "mine.csv"
    hand.write_text("edited by hand")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for explain, message in ((str(hand), "is there already"), (banks["near"], "would replace what is read")):
        with pytest.raises(InputError, match=f"`explain` {explain}: {message}"):
            rank(RankConfig(target=banks["target"], source=[banks["near"]], explain=explain, bootstrap=0))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_screen_tells_estimates_intervals_and_ties(write_bank, capsys):
    rng = np.random.default_rng(0)
    target = write_bank("target", 4 * rng.standard_normal((4, 8)), counts=[20] * 4)
    means = 4 * rng.standard_normal((6, 8))
    twins = [write_bank(name, means + 0.1 * rng.standard_normal(means.shape), counts=[20] * 6) for name in "ab"]
    far = write_bank("far", means + 20, counts=[20] * 6)
    assert main(["rank", "--target", target, "--source", far, *twins, "--geometry", "euclidean"]) == 0
    out = capsys.readouterr().out
    first, second = out.split("Earth Mover's Distance")
    assert "nearest source class" in first and "nearer than next, %" in first and "95 % interval" in first
    assert "measured" in second and "similarity" in second
    assert "plug-in" not in out and "mass" not in out  # words of the literature
    assert "measured: the distance of the class means" in out
    rows = [line.split() for line in first.splitlines() if line.startswith("folder:")]
    assert [row[0] for row in rows][-1] == "folder:far" and rows[1][-3] == "100"  # surely nearer than the last
    assert "folder:a and folder:b cannot be told apart" in out or "folder:b and folder:a cannot be told apart" in out
    assert "folder:far cannot" not in out


def test_the_screen_says_where_noise_explains_the_distance(write_bank, capsys):
    rng = np.random.default_rng(1)
    means = 0.3 * rng.standard_normal((6, 8))
    sets = [write_bank(name, means + 0.7 * rng.standard_normal((6, 8)), counts=[2] * 6) for name in ("t", "s")]
    assert main(["rank", "--target", sets[0], "--source", sets[1], "--geometry", "euclidean"]) == 0
    assert "folder:s: sampling noise alone explains the distance" in capsys.readouterr().out
