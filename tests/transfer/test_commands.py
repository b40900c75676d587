"""``rank`` and ``select``: the options reach the library, and what is wrong is said before any work."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity import Subset, rank_domains, select_classes
from transfer.commands import RankConfig, SelectConfig, rank, select
from transfer.display import show


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
        assert sum(costs) == pytest.approx(domain["emd"], rel=1e-12)


def test_select_writes_what_it_returns(banks, tmp_path):
    out = tmp_path / "deep" / "subset.csv"
    config = SelectConfig(
        target=[banks["target"]],
        source=[banks["near"], banks["far"]],
        classes=3,
        out=str(out),
        strategy="nearest",
        geometry="euclidean",
    )
    result = select(config)
    # by hand: mean distance to (0, 0) and (0, 2), half each
    means = {"near0": (0, 1), "near1": (1, 1), "near2": (0, 4), "far0": (50, 1), "far1": (60, 1)}
    by_hand = {
        name: (np.hypot(x, y) + np.hypot(x, y - 2)) / 2 for name, (x, y) in means.items()
    }  # near0 1, near1 √2, near2 3
    expected = sorted(by_hand, key=by_hand.__getitem__)[:3]
    chosen = result.to_json()["selected"]
    assert [row["class"] for row in chosen] == expected == ["near0", "near1", "near2"]
    assert [row["rank"] for row in chosen] == [1, 2, 3]
    assert [row["distance"] for row in chosen] == pytest.approx([by_hand[name] for name in expected], rel=1e-5)
    assert {row["source"] for row in chosen} == {"folder:near"}
    assert result.to_json()["out"] == str(out)
    assert Subset.read(out).to_json() == result.subset.to_json()


def test_neither_command_replaces_what_is_there_or_what_it_reads(banks, tmp_path):
    hand = tmp_path / "mine.csv"
    hand.write_text("edited by hand")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    common = {"source": [banks["near"]], "strategy": "nearest", "classes": 1}
    for given, message in (
        ({"out": str(hand)}, "mine.csv: is there already; name another file or give `overwrite`"),
        ({"out": banks["near"], "overwrite": True}, "would replace what is read"),
        ({"curve": banks["target"], "overwrite": True}, "would replace what is read"),
        ({"out": str(tmp_path / "a"), "curve": str(tmp_path / "a")}, "is the file of --out too"),
    ):
        with pytest.raises(InputError, match=message):
            select(SelectConfig(target=[f"{banks['target']}:1"], **common, **given))
    for explain, message in ((str(hand), "is there already"), (banks["near"], "would replace what is read")):
        with pytest.raises(InputError, match=f"--explain {explain}: {message}"):
            rank(RankConfig(target=banks["target"], source=[banks["near"]], explain=explain, bootstrap=0))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    select(SelectConfig(target=[banks["target"]], **common, out=str(hand), overwrite=True))
    assert len(Subset.read(hand)) == 1


def test_nothing_is_written_unasked(banks, tmp_path):
    before = sorted(tmp_path.iterdir())
    result = select(SelectConfig(target=[banks["target"]], source=[banks["near"]], classes=1))
    assert result.out is None
    assert sorted(tmp_path.iterdir()) == before


def test_every_target_may_have_its_own_number(banks, write_bank):
    other = write_bank("other", [[55, 0], [56, 2]])
    sources = [banks["near"], banks["far"]]
    common = {"source": sources, "strategy": "nearest", "geometry": "euclidean"}
    result = select(SelectConfig(target=[f"{banks['target']}:2", other], classes=1, **common))
    expected = select_classes(
        [FeatureBank.open(banks["target"]), FeatureBank.open(other)],
        [FeatureBank.open(path) for path in sources],
        quotas=[2, 1],
        strategy="nearest",
        geometry="euclidean",
    )
    assert result.subset.rows == expected.rows
    wanted = {target for row in result.subset.rows for target in row.targets}
    assert wanted == {"folder:target", "folder:other"}
    assert len(select(SelectConfig(target=[f"{banks['target']}:4"], **common)).subset) == 4


@pytest.mark.parametrize("strategy", ["nearest", "random", "coverage"])
def test_select_says_how_often_each_class_is_chosen_again(banks, strategy):
    config = SelectConfig(
        target=[banks["target"]], source=[banks["near"]], classes=2, strategy=strategy, resample=4, seed=3
    )
    found = select(config).to_json()
    again = found["stability"]
    assert again["replicates"] == 4 and 0 < again["jaccard"] <= 1
    chosen = [(row["source"], row["class"]) for row in again["classes"] if row["chosen"]]
    assert chosen == [(row["source"], row["class"]) for row in found["selected"]]
    assert sum(row["share"] for row in again["classes"]) == pytest.approx(2)  # every choice is of two
    assert ("coverage" in found["targets"][0]) == (strategy == "coverage")


@pytest.mark.parametrize(("images", "chosen"), [(10**6, 2), (30, 1)])
def test_select_says_which_budget_ended_the_choice(banks, capsys, images, chosen):
    config = SelectConfig(
        target=[banks["target"]], source=[banks["near"]], classes=2, images=images, strategy="nearest"
    )
    result = select(config)
    (target,) = result.to_json()["targets"]
    assert (target["quota"], target["chosen"]) == (2, chosen)
    show("select", config, result)
    assert ("the budget of 30 images ends the choice, number of classes: 1" in capsys.readouterr().out) == (chosen == 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": 1, "resample": -1}, "--resample -1: expected at least 0"),
        ({"classes": 0}, "--classes 0: expected at least 1"),
        ({"classes": 1, "min_count": -1}, "--min-count -1: expected at least 0"),
        ({}, "--classes is missing"),
        ({"classes": 9}, "--classes 9: not possible for folder:target; the sources have 3 classes"),
        ({"classes": 1, "strategy": "best"}, "--strategy best: there is no such strategy; expected one of nearest"),
        ({"classes": 1, "geometry": "flat"}, "flat"),
        ({"classes": 1, "strategy": "all"}, "--strategy all takes every class"),
        ({"classes": 1, "min_count": 1000}, "--min-count 1000: no source class has so many images"),
    ],
)
def test_wrong_select_options(banks, given, message):
    with pytest.raises(InputError) as refusal:
        select(SelectConfig(target=[banks["target"]], source=[banks["near"]], **given))
    assert message in str(refusal.value)


@pytest.mark.parametrize("quota", ["0", "-3"])
def test_a_quota_of_none_is_refused(banks, quota):
    with pytest.raises(InputError, match=f":{quota}: the quota must be at least 1"):
        select(SelectConfig(target=[f"{banks['target']}:{quota}"], source=[banks["near"]]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gamma": 0.0}, "--gamma 0.0: expected a positive number"),
        ({"gamma": float("nan")}, "--gamma nan: expected a positive number"),
        ({"min_count": -1}, "--min-count -1: expected at least 0"),
        ({"gamma": math.inf}, "--gamma inf: expected a positive number"),
        ({"bootstrap": -1}, "--bootstrap -1: expected 0, or at least 2"),
        ({"bootstrap": 1}, "--bootstrap 1: expected 0, or at least 2"),
        ({"geometry": "flat"}, "flat"),
    ],
)
def test_wrong_rank_options(banks, given, message):
    with pytest.raises(InputError) as refusal:
        rank(RankConfig(target=banks["target"], source=[banks["near"]], **given))
    assert message in str(refusal.value)


def test_a_ranking_says_that_one_class_is_little(banks, write_bank, capsys):
    lake = write_bank("lake", [[5, 0]])
    config = RankConfig(target=banks["target"], source=[banks["near"], lake], bootstrap=0)
    show("rank", config, rank(config))
    said = capsys.readouterr().out
    assert "folder:lake is one class, of which the mean alone counts; transfer cluster" in said
    assert "folder:near is one class" not in said


def test_measures_none_of_which_can_be_taken_are_refused(banks):
    with pytest.raises(InputError, match="--measures mmd: needs the source's images: extract folder:near with"):
        rank(RankConfig(target=banks["target"], source=[banks["near"]], measures=["mmd"], bootstrap=0))
    with pytest.raises(InputError, match="--measures knn: tells models apart, not sources; leave it out"):
        RankConfig(target=banks["target"], source=[banks["near"]], measures=["mmd", "knn"])


@pytest.mark.parametrize("command", ["rank", "select"])
@pytest.mark.parametrize("attribute", ["backbone", "weights_sha256", "transform", "pooling"])
def test_banks_of_another_kind_are_refused(banks, write_bank, command, attribute):
    alien = write_bank("alien", [[0, 0]], **{attribute: "other"})
    with pytest.raises(InputError) as refusal:
        if command == "rank":
            rank(RankConfig(target=banks["target"], source=[banks["near"], alien]))
        else:
            select(SelectConfig(target=[banks["target"]], source=[banks["near"], alien], classes=1))
    assert f"cannot be compared: {attribute} is" in str(refusal.value)
    assert "alien.h5" in str(refusal.value)


def test_missing_banks_say_how_to_make_them(banks):
    with pytest.raises(InputError, match=r"none\.h5: no such feature bank; make one with: transfer extract"):
        rank(RankConfig(target="none.h5", source=[banks["near"]]))
    with pytest.raises(InputError, match=r"none\.h5: no such feature bank"):
        select(SelectConfig(target=["none.h5:3"], source=[banks["near"]]))
