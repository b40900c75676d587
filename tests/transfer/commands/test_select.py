"""``select``: the options reach the library, invalid ones are refused before any file is written, and the screen."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from support import picture

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from finetune.source_classes import open_sources
from similarity import Subset, select_classes
from similarity.selection.pool import SourcePool
from transfer.cli import main
from transfer.commands.select import SelectConfig, select, show

TRAIN, TEST = "digits:@train?per_class=5", "digits:@test?per_class=4"


def test_the_documented_keys_of_the_selection(made_bank, said, place):
    target, near = made_bank("target", TEST), made_bank("near", TRAIN)
    out = place / "subset.csv"
    found = said("select", "--target", target, "--source", near, "--classes", 4, "--out", out)
    assert [row["rank"] for row in found["selected"]] == [1, 2, 3, 4]
    assert all({"source", "class", "rank", "distance"} <= row.keys() for row in found["selected"])
    assert out.read_text().startswith("# {")


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


def test_nothing_that_exists_or_is_read_is_replaced(banks, tmp_path):
    hand = tmp_path / "mine.csv"
    hand.write_text("edited by hand")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    common = {"source": [banks["near"]], "strategy": "nearest", "classes": 1}
    for given, message in (
        ({"out": str(hand)}, "mine.csv: is there already; name another file or give `overwrite`"),
        ({"out": banks["near"], "overwrite": True}, "would replace what is read"),
        ({"curve": banks["target"], "overwrite": True}, "would replace what is read"),
        ({"out": str(tmp_path / "a"), "curve": str(tmp_path / "a")}, "is the file of `out` too"),
    ):
        with pytest.raises(InputError, match=message):
            select(SelectConfig(target=[f"{banks['target']}:1"], **common, **given))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    select(SelectConfig(target=[banks["target"]], **common, out=str(hand), overwrite=True))
    assert len(Subset.read(hand)) == 1


def test_the_default_takes_what_serves_nine_tenths_and_says_so(banks, tmp_path, capsys):
    out, curve = tmp_path / "subset.csv", tmp_path / "curve.csv"
    config = SelectConfig(target=[banks["target"]], source=[banks["near"]], out=str(out), curve=str(curve))
    result = select(config)
    (target,) = result.to_json()["targets"]
    assert target["asked_share"] == 0.9 <= target["share"] + 1e-9
    assert sum(row["weight"] for row in result.to_json()["selected"]) == pytest.approx(target["share"])
    show(config, result)
    printed = capsys.readouterr().out
    served = f"{target['chosen']} classes serve {100 * target['share']:.0f} % of it, as far as these sources can"
    assert f"{served} (classes needed: " in printed
    assert f"{target['classes_for']['0.9']} for 90 %" in printed and "weight, %" in printed
    assert main(["inspect", str(curve)]) == 0 and "share" in capsys.readouterr().out
    fewer = select(SelectConfig(target=[banks["target"]], source=[banks["near"]], coverage=0.2))
    assert len(fewer.subset) <= len(result.subset)


def test_classes_are_left_out_and_ordered_by_influence(banks, tmp_path, capsys):
    out, table = tmp_path / "subset.csv", tmp_path / "influence.csv"
    config = SelectConfig(target=[banks["target"]], source=[banks["near"]], drop=1, out=str(out))
    result = select(config)
    names = FeatureBank.open(banks["near"]).classes
    (dropped,) = result.to_json()["dropped"]
    assert {row.class_name for row in Subset.read(out).rows} == set(names) - {dropped["class"]}
    show(config, result)
    assert f"left out, the last one first: {dropped['class']}" in capsys.readouterr().out
    rows = [f"folder:near,{name},folder:target,{i / 10}" for i, name in enumerate(names)]
    table.write_text("\n".join(["source,class,target,influence", *rows]) + "\n")
    options = ["--target", banks["target"], "--source", banks["near"], "--influence", str(table)]
    assert main(["select", *options, "--classes", "1", "--json"]) == 0
    (chosen,) = json.loads(capsys.readouterr().out)["selected"]
    assert chosen["class"] == names[-1]
    for wrong, said in (
        (["--strategy", "mutual-proximity"], "--strategy mutual-proximity and --influence both order the classes"),
        (["--classes", "1", "--strategy", "nearest"], "--strategy nearest and --influence both order the classes"),
        (["--classes", "1", "--resample", "3"], "--resample: measured --influence does not depend on the class means"),
        (["--classes", "1", "--out", str(table), "--overwrite"], "influence.csv"),
        (["--drop", "1", "--classes", "1"], "--drop 1: takes all classes but the last ones"),
    ):
        assert main(["select", *options, *wrong]) == 2
        assert said in capsys.readouterr().err
    assert table.read_text().startswith("source,class")


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


def test_all_given_sources_are_to_be_drawn_from_by_weights(banks, tmp_path, capsys):
    """Also one that no class is chosen of: the floor of the weights draws from it."""
    out = str(tmp_path / "s.csv")
    sources = ["--source", banks["near"], banks["far"], "--strategy", "nearest-class", "--out", out]
    assert main(["select", "--target", banks["target"], *sources, "--coverage", "1"]) == 0
    assert Subset.read(out).sources == ("folder:near",)
    assert f"transfer pretrain folder:near folder:far --class-weights {out}" in capsys.readouterr().out
    assert main(["select", "--target", banks["target"], *sources, "--coverage", "0.9", "--overwrite"]) == 0
    assert f"transfer pretrain --subset {out}" in capsys.readouterr().out


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
    assert target["ended_by"] == ("images" if chosen == 1 else "classes")
    show(config, result)
    assert ("the budget of 30 images ends the choice; classes chosen: 1" in capsys.readouterr().out) == (chosen == 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": 1, "resample": -1}, "`resample` -1: expected at least 0"),
        ({"classes": 0}, "`classes` 0: expected at least 1"),
        ({"classes": 1, "min_count": -1}, "`min_count` -1: expected at least 0"),
        ({"strategy": "nearest"}, "`classes` is missing"),
        ({"coverage": 0}, "`coverage` 0: expected above 0 and at most 1"),
        ({"coverage": 0.5, "strategy": "random"}, "`coverage`: `strategy` random does not tell how much"),
        ({"coverage": 0.5, "strategy": "all"}, "`strategy` all takes every class"),
        ({"classes": 9}, "`classes` 9: not possible for folder:target; the sources have 3 classes"),
        ({"classes": 1, "strategy": "best"}, "`strategy` best: there is no such strategy; expected one of "),
        ({"classes": 1, "geometry": "flat"}, "flat"),
        ({"classes": 1, "strategy": "all"}, "`strategy` all takes every class"),
        ({"classes": 1, "min_count": 1000}, "`min_count` 1000: no source class has so many images"),
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


@pytest.mark.parametrize("attribute", ["backbone", "weights_sha256", "transform", "pooling"])
def test_banks_of_another_kind_are_refused(banks, write_bank, attribute):
    alien = write_bank("alien", [[0, 0]], **{attribute: "other"})
    with pytest.raises(InputError) as refusal:
        select(SelectConfig(target=[banks["target"]], source=[banks["near"], alien], classes=1))
    assert f"cannot be compared: {attribute} is" in str(refusal.value)
    assert "alien.h5" in str(refusal.value)


def test_missing_banks_say_how_to_make_them(banks):
    with pytest.raises(InputError, match=r"none\.h5: no such feature bank; make one with: transfer extract"):
        select(SelectConfig(target=["none.h5:3"], source=[banks["near"]]))


def test_a_person_sees_a_table_and_what_to_type_next(banks, write_bank, capsys):
    odd = write_bank("odd", [[0, 1]], classes=["[bold]:dog:[/x]"])
    assert main(["select", "--target", banks["target"], "--source", odd, "--classes", "1", "--strategy", "all"]) == 2
    capsys.readouterr()
    everything = ["--strategy", "all", "--geometry", "euclidean", "--out", odd + ".csv"]
    assert main(["select", "--target", banks["target"], "--source", odd, *everything]) == 0
    out = capsys.readouterr().out
    assert "[bold]:dog:[/x]" in out  # as it is: neither a style nor a picture
    assert f"transfer pretrain --subset {odd}.csv" in out
    assert main(["rank", "--target", banks["target"], "--source", banks["near"], banks["far"], "--bootstrap", "0"]) == 0
    out = capsys.readouterr().out
    assert "transfer select --target" in out
    lines = out.splitlines()
    rows = [line.split()[0] for line in lines if line.startswith("folder:")]
    assert rows == ["folder:near", "folder:far"] * 2  # by either distance
    assert "0.5 is as far as the target's classes are from each other" in out
    why, plain = odd + ".why.csv", ["--geometry", "euclidean", "--bootstrap", "2"]
    assert main(["rank", "--target", banks["target"], "--source", odd, *plain, "--explain", why]) == 0
    out = capsys.readouterr().out
    assert "classes of folder:odd that serve folder:target" in out and "target1" in out and why in out
    assert "[bold]:dog:[/x]" in out


def test_a_subset_of_unknown_classes(banks, refused, tmp_path):
    out = tmp_path / "s.csv"
    argv = ["--target", banks["target"], "--source", banks["near"], "--classes", "1", "--out", str(out)]
    assert main(["select", *argv]) == 0
    rows = out.read_text().partition("\n")[2]  # without the provenance, which would say that the file was edited
    out.write_text(rows.replace("folder:near", "digits:@test").replace("near", "goose"))
    line = refused("pretrain", "--subset", out, "--out", tmp_path / "run", "--backbone", "resnet8")
    assert "s.csv: digits:@test has no class 'goose0'" in line


@pytest.mark.parametrize("given", [{"classes": 9}, {"classes": 1, "strategy": "all"}])
def test_a_refused_choice_leaves_no_curve_behind(banks, tmp_path, given):
    curve, out = tmp_path / "curve.csv", tmp_path / "subset.csv"
    common = {"target": [banks["target"]], "source": [banks["near"]], "curve": str(curve), "out": str(out)}
    with pytest.raises(InputError):
        select(SelectConfig(**common, **given))
    assert not curve.exists() and not out.exists()
    select(SelectConfig(**common, classes=1))  # the corrected command
    assert curve.exists() and out.exists()


def test_resampling_starts_from_the_choice_that_is_there(banks, monkeypatch):
    fitted = []
    of = SourcePool.of
    monkeypatch.setattr(SourcePool, "of", lambda *args: fitted.append(args) or of(*args))
    config = SelectConfig(target=[banks["target"]], source=[banks["near"]], classes=2, resample=3)
    result = select(config)
    assert len(fitted) == 1
    assert result.stability.subset is result.subset


def test_the_number_of_a_source_is_in_the_table_and_a_score_is_not_called_a_distance(banks, capsys):
    sources = ["--source", banks["far"], banks["near"]]
    options = ["--classes", "1", "--geometry", "euclidean", "--strategy"]
    for strategy, head in (("mutual-proximity", "score"), ("nearest", "distance")):
        assert main(["select", "--target", banks["target"], *sources, *options, strategy]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split()[:4] == ["rank", "class", "images", head] and lines[0].endswith("source")
        assert lines[1].split()[-1] == "2" and "source 2: folder:near" in lines
        assert any(line.startswith(f"{head}: the ") for line in lines)


def test_several_targets_are_told_apart_on_the_screen(banks, write_bank, capsys):
    other = write_bank("other", [[55, 0], [56, 2]])
    sources = ["--source", banks["near"], banks["far"]]
    assert main(["select", "--target", banks["target"], other, *sources, "--geometry", "euclidean"]) == 0
    out = capsys.readouterr().out
    assert "target 1: folder:target" in out and "target 2: folder:other" in out
    assert out.count("as far as these sources can") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "subset.txt"], "--out subset.txt: expected a file name that ends in .csv"),
        (["--curve", "curve.h5"], "--curve curve.h5: expected a file name that ends in .csv"),
    ],
)
def test_tables_end_in_csv(banks, refused, options, message):
    assert message in refused("select", "--target", banks["target"], "--source", banks["near"], *options)


def test_a_quota_that_is_no_number(banks, refused):
    line = refused("select", "--target", f"{banks['target']}:half", "--source", banks["near"])
    assert "the quota 'half' must be a whole number" in line


def test_a_target_among_its_sources_is_named(banks, capsys):
    assert main(["select", "--target", banks["target"], "--source", banks["target"], "--geometry", "euclidean"]) == 0
    assert "folder:target: is the target and a source" in capsys.readouterr().err
    assert main(["rank", "--target", banks["target"], "--source", banks["near"], banks["near"]]) == 2
    assert "folder:near is given twice" in capsys.readouterr().err


def test_the_expected_gain_is_told_or_why_there_is_none(banks, capsys):
    command = ["select", "--target", banks["target"], "--source", banks["near"], banks["far"], "--classes", "1"]
    assert main(command) == 0
    assert (
        "no gain in accuracy over the same number of classes chosen at random is stated, because the toolkit's own "
        "benchmark does not cover this case: it was measured " in capsys.readouterr().out
    )
    assert main([*command, "--json"]) == 0
    (expected,) = json.loads(capsys.readouterr().out)["expected_gain"].values()
    assert expected["over_random"] is None and expected["unknown"].startswith("measured ")


def test_a_subset_knows_where_its_relative_paths_start(tmp_path, monkeypatch):
    for name in ("here/pictures/a/1.png", "here/pictures/b/1.png"):
        picture(tmp_path / name)
    monkeypatch.chdir(tmp_path / "here")
    extraction = "extract folder:pictures --out bank.h5 --backbone resnet8 --weights none --workers 0"
    assert main(extraction.split()) == 0
    choice = "select --target bank.h5 --source bank.h5 --geometry euclidean --classes 2 --out subset.csv"
    assert main(choice.split()) == 0
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    found = open_sources([], "../here/subset.csv")
    assert found.origin == (("folder:pictures", "a"), ("folder:pictures", "b"))
    assert os.getcwd() == str(tmp_path / "there") and found.images.image(1).size == (4, 4)
    (tmp_path / "here" / "pictures").rename(tmp_path / "here" / "gone")
    with pytest.raises(InputError, match=r"subset\.csv: .*no such directory: pictures; expected"):
        open_sources([], "../here/subset.csv")
