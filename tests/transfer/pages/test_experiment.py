"""The page of a recipe and of a trial."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vl_convert
from PIL import Image

from features import FeatureBank
from similarity import STRATEGIES
from similarity.selection.curve import curves_from
from similarity.selection.pool import SourcePool
from similarity.selection.strategies.mutual_proximity import most_serving
from transfer import ReportConfig, report
from transfer.plots.choice import SHARE


def page_of(out: Path, read_page):
    return read_page(report(ReportConfig(run=[str(out)])).path)


def test_the_best_arm_is_named_wherever_it_stands_and_ties_are_told(results, read_page):
    page = page_of(results(), read_page)
    marked = [cells for style, cells in page.rows if style == "best"]
    assert [cells[0] for cells in marked] == ["toolkit"]
    arms = {cells[0]: cells for _, cells in page.rows if len(cells) == 6}
    assert arms["last"][4].endswith("tied")  # 0.6 and 0.9 against 0.8 and 0.82
    assert not arms["scratch"][4].endswith("tied")
    assert arms["toolkit"][2] == "81.0"
    assert arms["toolkit"][3] == "68.3 to 93.7"  # 81 ± 12.706·√2/√2, by Student's t of one degree of freedom
    assert (
        "Pre-training on 4 classes chosen by mutual-proximity (toolkit) gives a top-1 accuracy of 81.0 %" in page.text
    )
    assert "It is tied with last: the runs do not show which of them is better." in page.text
    assert "Guessing gives 10.0 %" in page.text


def test_every_arm_has_a_legend(results, read_page):
    page = page_of(results(), read_page)
    told = {cells[0]: cells[1] for _, cells in page.rows if len(cells) == 6}
    assert told["scratch"] == "none: from scratch"
    assert told["toolkit"].startswith("4 by mutual-proximity, euclidean: classes near to some of the target's classes")
    assert told["last"] == "4 at random: classes drawn at random, the control"


def test_each_target_class_has_the_chosen_classes_that_serve_it(results, read_page):
    out = results()
    page = page_of(out, read_page)
    content = json.loads((out / "result.json").read_text())
    target, source = (FeatureBank.open(path) for path in content["banks"].values())
    pool = SourcePool.of([target], [source], "euclidean")
    places, shares = most_serving(pool.points, pool.metric.points(target.means), np.arange(10) < 4, 3)
    assert "over all 10 source classes sum to 100 %" in page.text
    cards = re.findall(r'<div class="target">(.*?)</ol>', page.source, re.S)
    assert len(cards) == 10
    for j, card in enumerate(cards):
        assert f"{target.classes[j]}</div>" in card
        assert re.findall(r"([\d.]+) %<span", card) == [f"{100 * share:.1f}" for share in shares[j]]
        assert all(pool.classes[i] in card for i in places[j])
        assert card.count("<img") == 4


def test_the_map_and_the_curve_hold_every_class(results, read_page):
    page = page_of(results(), read_page)
    rows = page.data["map"]["data"]["values"]
    kinds = [row["kind"] for row in rows]
    assert (kinds.count("target classes"), kinds.count("chosen source classes")) == (10, 4)
    assert kinds.count("other source classes") == 6
    assert {row["class"] for row in rows} >= {"digit 0", "digit 9"}
    assert max(row["covered"] for row in page.data["curve"]["data"]["values"]) == 100
    assert "the knee of the curve" in page.text
    for chart in page.data.values():
        assert vl_convert.vegalite_to_svg(chart).startswith("<svg")  # the library takes it


def test_pictures_stand_in_for_charts_where_scripts_are_off(results, read_page):
    page = page_of(results(), read_page)
    for name in page.data:
        figure = page.source[page.source.index(f'data-chart="chart-{name}"') :]
        assert figure.index("data:image/svg+xml") < figure.index("</figure>")


def test_names_are_text_in_markup_data_and_pictures(results, read_page):
    evil = ["</script><img src=x onerror=alert(1)>", "$x^{2$", *(f"{{{{ {i} }}}}" for i in range(8))]
    page = page_of(results(classes=evil), read_page)
    assert "onerror" not in page.handlers
    assert {row["class"] for row in page.data["map"]["data"]["values"]} >= set(evil)
    assert "a & <b>" in page.text
    assert evil[0] in page.text
    assert evil[2] in page.text


def test_sizes_costs_and_commands_are_there(results, read_page):
    out = results(sources=("glyphs:DIGIT", "digits:@train?per_class=5"))
    page = page_of(out, read_page)
    assert page.source.count("Images of each class of the target and the sources") == 1  # one plot of all
    told = "cannot be told apart: the first is nearer with 70 % confidence."
    assert f"glyphs:DIGIT and digits:@train?per_class=5 {told}" in page.text
    costs = next(cells for _, cells in page.rows if cells and cells[0] == "toolkit" and len(cells) == 5)
    assert costs == ["toolkit", "–", "–", "14 s", "200"]  # two runs of 7 seconds and 100 images
    assert "1 min 15 s" in page.text
    assert f"transfer run recipe.yaml --out {out}" in page.text
    assert "Training loss of toolkit by step" in page.source


def test_the_mistakes_of_the_best_arm_have_images(results, read_page):
    page = page_of(results(), read_page)
    assert "How toolkit does, seed 0" in page.text
    assert page.data["confusion"]["data"]["values"]
    assert page.source.count("that was taken for") > 10


def test_results_that_moved_or_lost_files_have_a_page(results, tmp_path, read_page):
    out = results()
    moved = tmp_path / "else where"
    shutil.move(out, moved)
    page = page_of(moved, read_page)
    assert "How toolkit does" in page.text
    assert f"transfer run recipe.yaml --out '{moved}'" in page.text
    shutil.rmtree(moved / "finetune")
    for bank in tmp_path.glob("bank*.h5"):
        bank.unlink()
    page = page_of(moved, read_page)
    assert "What toolkit chose cannot be shown" in page.text
    assert "The run of toolkit is not at hand" in page.text
    assert not page.scripts


def test_a_trial_has_its_verdict_of_these_runs(results, read_page):
    out = results(top1=((0.5,), (0.8,), (0.6,)))
    content = json.loads((out / "result.json").read_text())
    figure = {"value": 0.8, "low": 0.7, "high": 0.9}
    verdict = {
        "sentences": ["toolkit is right on 80 %.", "It is tied with last.", "That is all."],
        "best": "last",
        "accuracy": dict.fromkeys(("scratch", "toolkit", "last"), figure),
        "lead": {"scratch": figure, "toolkit": {"value": 0.1, "low": -0.1, "high": 0.3}},
        "tied": ["toolkit"],
        "optimism": 0.012,
        "images": 40,
        "starts": {arm["arm"]: arm["runs"][0]["run"] for arm in content["arms"]},
        "left_out": {"other": 7.2},
    }
    (out / "verdict.json").write_text(json.dumps(verdict))
    page = page_of(out, read_page)
    assert "toolkit is right on 80 %." in page.text
    assert [cells[0] for style, cells in page.rows if style == "best"] == ["last"]
    assert ["toolkit", "80.0", "70.0 to 90.0", "+10.0 (−10.0 to +30.0), tied"] in [cells for _, cells in page.rows]
    assert "about 1.2 points too high" in page.text
    assert "Left out, because the time is too short: other (--minutes 8)." in page.text
    assert "How last does" in page.text
    verdict["starts"]["last"] = "another"
    (out / "verdict.json").write_text(json.dumps(verdict))
    assert "toolkit is right on 80 %." not in page_of(out, read_page).text


@pytest.mark.parametrize("number", [3, 200, 5000])
def test_the_page_has_a_sensible_size_for_any_number_of_classes(number, tmp_path, results, write_bank, read_page):
    folder = tmp_path / "photos"
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    names = [f"a_class_of_some_length_{i:05d}" for i in range(number)]
    for name in names:
        (folder / name).mkdir(parents=True)
    Image.fromarray(noise).save(folder / names[0] / "1.jpg")
    for name in names[1:]:
        (folder / name / "1.jpg").hardlink_to(folder / names[0] / "1.jpg")
    out, spec = results(), f"folder:{folder}"
    content = json.loads((out / "result.json").read_text())
    means = np.random.default_rng(1).normal(size=(number, 6))
    bank = write_bank("large", means, classes=names, dataset=spec)
    content["banks"] = {spec: bank, "glyphs:DIGIT": content["banks"]["glyphs:DIGIT"]}
    content["target"] = spec
    (out / "result.json").write_text(json.dumps(content))
    page = page_of(out, read_page)  # which is under 5 MB
    assert page.source.count('class="target"') == min(number, 60)
    if number == 5000:
        assert "1000 further target classes by name; 3,940 more are left out" in page.text
        kinds = "266 of 5,000 target classes, 4 chosen and 6 other source classes"
        assert f"It shows {kinds}, drawn at random." in page.text
        assert {"target classes (266 of 5,000)", "chosen source classes (4)"} <= set(page.drawn)


def more_arms(content, number):
    """Arms that are less accurate than the others, each with a choice of its own."""
    names = [f"arm {i}" for i in range(number)]
    runs = [[{**run, "top1": 0.1} for run in content["arms"][1]["runs"]]] * number
    content["arms"] += [{**content["arms"][1], "arm": name, "runs": own} for name, own in zip(names, runs, strict=True)]
    content["recipe"]["arms"] |= dict.fromkeys(names, content["recipe"]["arms"]["toolkit"])
    content["selections"] |= dict.fromkeys(names, 100 * content["selections"]["toolkit"])


def more_runs(content, number):
    for arm in content["arms"]:
        arm["runs"] = [{**arm["runs"][0], "run": "nowhere"}] * (1 + number)


def more_sources(content, number):
    more = [{**content["domains"][0], "source": f"folder:{i}", "nearer_than_next": 0.7} for i in range(number)]
    content["domains"] += more


def more_banks(content, number):
    content["banks"] |= {f"folder:{i}": content["banks"]["glyphs:DIGIT"] for i in range(number)}


def lost_banks(content, number):
    content["banks"] |= {f"folder:{i}": "/nowhere/bank.h5" for i in range(number)}


def more_classes(content, number):
    content["selections"]["toolkit"] = content["selections"]["toolkit"] * (number // 2)


def a_long_recipe(content, number):
    content["recipe"]["sources"] = [f"folder:{'x' * 500}{i}" for i in range(number)]


@pytest.mark.parametrize(
    ("inflate", "said"),
    [
        (more_arms, ["The most accurate 60 of 303 arms are shown; all stand in result.json.", "300 more stand in"]),
        (more_runs, ["The first 50 of 301 runs of each arm are shown; all stand in result.json."]),
        (more_sources, ["The nearest 60 of 301 sources are shown; all stand in result.json."]),
        (more_banks, ["The first 28 of 302 feature banks are shown; all stand in result.json."]),
        (lost_banks, ["281 more notes of this kind are left out."]),
        (more_classes, ["400 more stand in result.json."]),
        (a_long_recipe, ["more characters stand in result.json"]),
    ],
)
def test_the_page_has_a_sensible_size_for_any_results_and_says_what_it_leaves_out(inflate, said, results, read_page):
    out = results(top1=((0.5,), (0.8,), (0.6,)))
    content = json.loads((out / "result.json").read_text())
    inflate(content, 300)
    (out / "result.json").write_text(json.dumps(content))
    page = page_of(out, read_page)  # which is under 5 MB
    assert page.source.count("<tr") < 7_000
    assert [one for one in said if one not in page.text] == []
    assert [cells[0] for style, cells in page.rows if style == "best"] == ["toolkit"]


@pytest.mark.parametrize("strategy", ["mutual-proximity", "coverage"])
def test_the_curve_names_its_own_classes_and_marks_its_first_ones_alone(strategy, results, read_page):
    out = results()
    content = json.loads((out / "result.json").read_text())
    target, source = (FeatureBank.open(path) for path in content["banks"].values())
    pool = SourcePool.of([target], [source], "euclidean")
    (curve,) = curves_from(pool, [target], STRATEGIES[strategy])
    order = [pool.classes[i] for i in curve.classes]
    number = 3 if curve.knee == 4 else 4
    assert len(order) > number
    content["arms"][1]["strategy"] = content["recipe"]["arms"]["toolkit"]["strategy"] = strategy
    row = content["selections"]["toolkit"][0]
    for chosen, marked in ((order[:number], True), (order[-number:], False)):
        content["selections"]["toolkit"] = [row | {"class": name} for name in chosen]
        (out / "result.json").write_text(json.dumps(content))
        page = page_of(out, read_page)
        rows = page.data["curve"]["data"]["values"]
        assert [row["added"] for row in rows if row["of"] == SHARE] == order
        marks = [mark["text"] for mark in page.data["curve"]["layer"][1]["data"]["values"]]
        assert (f"chosen: {number}" in marks) == marked
        assert (f"chosen: {number} classes" in page.drawn) == marked
        assert ("chosen classes are not the first ones of this curve" in page.text) != marked


def test_the_choice_of_the_page_is_of_an_arm_that_chooses(results, read_page):
    out = results()
    content = json.loads((out / "result.json").read_text())
    content["arms"][1]["use"] = content["recipe"]["arms"]["toolkit"]["use"] = "weighted"
    (out / "result.json").write_text(json.dumps(content))
    page = page_of(out, read_page)
    assert "What last chose" in page.text and "What toolkit chose" not in page.text
    assert "toolkit: draws from all 4 classes" in page.text
    del content["recipe"]["arms"][content["arms"].pop()["arm"]]
    content["selections"].pop("last")
    (out / "result.json").write_text(json.dumps(content))
    alone = page_of(out, read_page).text
    assert "toolkit draws from all source classes by the share that each serves, and chooses none." in alone
    assert "What toolkit chose" not in alone


def test_a_broken_bank_does_not_end_the_page(results, read_page):
    out = results()
    content = json.loads((out / "result.json").read_text())
    Path(content["banks"]["glyphs:DIGIT"]).write_text("no bank")
    page = page_of(out, read_page)
    assert "The feature bank of glyphs:DIGIT is not at hand" in page.text
    assert "What toolkit chose cannot be shown: the bank of glyphs:DIGIT is not at hand" in page.text
    assert any(text.startswith("images of the class in digits:@train") for text in page.drawn)


def test_a_bank_of_unknown_counts_has_no_line_among_the_sizes(results, read_page):
    out = results()
    content = json.loads((out / "result.json").read_text())
    path = content["banks"]["glyphs:DIGIT"]
    bank = FeatureBank.open(path)
    replace(bank, counts_known=False, variances=None, within_covariance=None).write(path)
    page = page_of(out, read_page)
    assert "The plot leaves out glyphs:DIGIT: the number of images of each class is not known." in page.text
    assert not any("glyphs:DIGIT: 10 classes" in text for text in page.drawn)


def test_runs_that_start_from_each_other_cost_what_they_cost_once(tmp_path, write_run):
    from transfer.pages.costs import arm_costs  # the package would hide the function `report` from other tests

    one, other = tmp_path / "one", tmp_path / "other"
    write_run(one, config={"init": str(other)})
    write_run(other, config={"init": str(one)})
    arms = [{"arm": "round", "runs": [{"run": str(one)}]}]
    assert arm_costs(arms, tmp_path) == ([("round", "7 s", 100, "7 s", 100)], False)


def test_a_source_that_is_nearer_after_correction_is_named_first(results, read_page):
    out = results(sources=("glyphs:DIGIT", "digits:@train?per_class=5"))
    content = json.loads((out / "result.json").read_text())
    content["domains"][0]["nearer_than_next"] = 0.02
    (out / "result.json").write_text(json.dumps(content))
    told = "digits:@train?per_class=5 is nearer than glyphs:DIGIT (98 % confidence)."
    assert f"After correction for sampling noise, {told}" in page_of(out, read_page).text
