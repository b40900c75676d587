"""The page of one run, and of several."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import yaml

from features.infrastructure.disk.files import write_json
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from similarity import Subset, SubsetRow
from transfer import ReportConfig, report
from transfer.intervals import wilson
from transfer.pages import excerpts
from transfer.trial.verdict import lead_of


def page_of(runs, read_page, **options):
    return read_page(report(ReportConfig(run=[str(run) for run in runs], **options)).path)


def test_a_run_has_its_accuracy_confusions_and_wrong_images(tmp_path, write_run, read_page):
    page = page_of([write_run(tmp_path / "run")], read_page)
    low, high = wilson(26, 40)  # 14 of the 40 images are wrong
    assert (
        f"Top-1 accuracy is 65.0 % (95 % interval {100 * low:.1f} to {100 * high:.1f}) on 40 test images" in page.text
    )
    cells = page.data["confusion"]["data"]["values"]
    assert sum(cell["images"] for cell in cells) == 40
    assert sum(cell["images"] for cell in cells if cell["true"] != cell["predicted"]) == 14
    assert page.source.count("that was taken for digit") == 14  # each wrong image once
    assert page.text.count("an image of digit") == 5
    # Ten names fit along the axes, so they are there.
    assert page.data["confusion"]["encoding"]["x"]["scale"]["domain"] == [f"digit {i}" for i in range(10)]


def test_the_hash_of_the_images_is_no_row_of_its_table(tmp_path, write_run, read_page):
    page = page_of([write_run(tmp_path / "run")], read_page)
    figures = page.source[: page.source.index("Do it again")]
    assert 64 * "ab" not in figures


def test_a_run_without_predictions_keeps_its_page(tmp_path, write_run, read_page):
    page = page_of([write_run(tmp_path / "run", predictions=False)], read_page)
    assert not page.scripts
    assert ["digit 0", "digit 1", "2", "50.0"] in [cells for _, cells in page.rows]
    assert "has no predictions.csv" in page.text


def test_a_run_says_what_it_was_pre_trained_on(tmp_path, write_run, read_page):
    rows = tuple(SubsetRow("glyphs:GREEK", f"letter {i}", 9, i, 0.1, ("t",)) for i in range(1, 4))
    Subset(rows, {"strategy": "mutual-proximity"}).write(tmp_path / "subset.csv")
    before = write_run(tmp_path / "pre")
    config = {"sources": ["glyphs:GREEK"], "subset": str(tmp_path / "subset.csv"), "backbone": "resnet8"}
    config |= {"weights": "none", "loss": "softmax", "steps": 5, "out": str(before)}
    (before / "config.yaml").write_text(yaml.safe_dump(config))
    started = json.loads((before / "environment.json").read_text()) | {"run": "pretrain"}
    write_json(before / "environment.json", started)
    run = write_run(tmp_path / "run", config={"init": str(before), "weights": "default"})
    page = page_of([run], read_page)
    assert (
        "It began with random weights of resnet8, was trained on 3 classes chosen by mutual-proximity of glyphs:GREEK, "
        "and was then trained on digits:@train?per_class=3." in page.text
    )
    assert [cells[0] for _, cells in page.rows if cells and cells[0] in ("pretrain", "finetune")] == [
        "pretrain",
        "finetune",
    ]
    assert f"transfer finetune --config {run}/config.yaml --out AGAIN" in page.text
    # The chosen classes are named, and the commands have the paths that were given.
    assert ["2", "letter 2", "glyphs:GREEK", "9", "0.1000"] in [cells for _, cells in page.rows]
    assert f"--init {before}" in page.text and f"transfer pretrain glyphs:GREEK --out {before}" in page.text


def test_groups_are_shown_where_there_are_several(tmp_path, write_run, read_page, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [write_run(tmp_path / name, wrong) for name, wrong in (("a", 3), ("b", 9))]
    page = page_of(runs[:1], read_page)  # a balanced target: all classes are few
    assert next(cells for _, cells in page.rows if cells and cells[0] == "accuracy")[:2] == ["accuracy", "0.6500"]
    assert "many" not in page.text and "training images per class" not in page.text
    assert "Mean of the classes" in (text := page_of(runs, read_page).text) and "Many" not in text
    for run in runs:
        figures = json.loads((run / "metrics.json").read_text())
        write_json(run / "metrics.json", figures | {"many": 0.9})
    assert "training images per class" in page_of(runs[:1], read_page).text
    assert "Many, medium and few" in page_of(runs, read_page, overwrite=True).text


def test_a_training_whose_images_were_counted_costs_just_these(tmp_path, write_run, read_page):
    run = write_run(tmp_path / "run")
    assert "for about 100 training images" in page_of([run], read_page).text
    columns = ("epoch", "step", "train_loss", "images", "images_per_second", "seconds")
    write_table(run / "history.csv", None, columns, [(1, 3, 2.0, 192, 10.0, 19.1), (2, 5, 1.0, 128, 10.0, 12.9)])
    assert "It took 32 s for 320 training images." in page_of([run], read_page).text


def test_the_validation_is_shown_where_there_is_one(tmp_path, write_run, read_page):
    validation = {"epoch": 2, "top1": 0.4321, "macro": 0.4, "images": 10}
    run = write_run(tmp_path / "run", metrics={"judged_on": "training", "validation": validation})
    columns = (
        "epoch",
        "step",
        "lr",
        "train_loss",
        "images_per_second",
        "seconds",
        "validation_top1",
        "validation_macro",
    )
    write_table(run / "history.csv", None, columns, [(1, 2, 0.1, 2.0, 10.0, 4.0, 0.4, 0.3)])
    page = page_of([run], read_page)
    assert "Top-1 accuracy is 43.2 % on the validation images, by which epoch 2 was chosen." in page.text
    assert ["validation top1", "0.4321"] in [cells for _, cells in page.rows]
    assert "accuracy on validation images" in page.text
    of_training = write_run(tmp_path / "other", metrics={"judged_on": "training"})
    assert "These are training images; add --test DATASET" in page_of([of_training], read_page).text


def test_runs_are_compared_pair_by_pair(tmp_path, write_run, read_page, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [write_run(tmp_path / name, wrong) for name, wrong in (("a", 3), ("b", 9), ("c", 8))]
    path = report(ReportConfig(run=[str(run) for run in runs])).path
    page = read_page(path)
    assert path.name == "comparison.html"
    assert [cells[0] for style, cells in page.rows if style == "best"] == [str(runs[1])]
    right = [np.arange(40) % wrong != 0 for wrong in (3, 9, 8)]
    lead = lead_of(right[1], right[0])
    cells = next(cells for _, cells in page.rows if cells and cells[0] == str(runs[0]))
    assert cells[4] == f"{100 * lead.value:+.1f} ({100 * lead.low:+.1f} to {100 * lead.high:+.1f})"
    assert f"It is tied with {runs[2]}: the images do not show which of them is better." in page.text
    with pytest.raises(InputError, match="is there already"):
        report(ReportConfig(run=[str(run) for run in runs]))
    (runs[0] / "predictions.csv").unlink()
    assert "Leads are not known" in page_of(runs, read_page, overwrite=True).text


def test_a_plot_that_leaves_runs_out_says_so(tmp_path, write_run, read_page, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, wrong in (("a", 3), ("b", 9), ("c", 8)):
        write_run(tmp_path / name, wrong)
    assert "are shown; all stand in" not in page_of(["a", "b", "c"], read_page).text
    monkeypatch.setattr(excerpts, "ARMS", 2)
    page = page_of(["a", "b", "c"], read_page, overwrite=True)
    assert "The most accurate 2 of 3 runs are shown; all stand in the table." in page.text
    assert "a" not in page.drawn and {"a", "b", "c"} <= {cells[0] for _, cells in page.rows if cells}


def test_recipes_are_not_compared(results, tmp_path, write_run):
    out = results()
    with pytest.raises(InputError, match=re.escape(f"{out}: holds the results of a recipe; give its runs")):
        report(ReportConfig(run=[str(out), str(write_run(tmp_path / "run"))], out=str(tmp_path / "page.html")))


def test_the_picture_of_runs_has_the_ties_of_their_table(tmp_path, write_run, read_page, monkeypatch):
    monkeypatch.chdir(tmp_path)
    judged = {"judged_on": "validation"}
    # b gets right what a does and 6 images more: unpaired intervals would call them tied. c has as many right as b.
    for name, wrong in (("a", 4), ("b", 12), ("c", 11)):
        write_run(tmp_path / name, wrong, metrics=judged)
    page = page_of(["a", "b", "c"], read_page)
    leads = {cells[0]: cells[4] for _, cells in page.rows if len(cells) == 5 and cells[0] in ("a", "b", "c")}
    assert {name: lead.endswith("tied") for name, lead in leads.items()} == {"a": False, "b": False, "c": True}
    assert {"a", "b (best)", "c (tied)", "top-1 accuracy on validation images, %"} <= set(page.drawn)
    assert not {"a (tied)", "b", "c"} & set(page.drawn)


def test_runs_without_leads_say_why(tmp_path, write_run, read_page, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, wrong in (("one", 3), ("the other", 9)):
        write_run(tmp_path / name, wrong)
    table = tmp_path / "the other" / "predictions.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))  # without the last image
    page = page_of(["one", "the other"], read_page)
    assert "Leads are not known: predictions.csv of the other lists other images than that of one, or in" in page.text
    assert not any("(tied)" in text for text in page.drawn)
    assert "transfer report one 'the other' --out comparison.html" in page.text
    table.unlink()
    page = page_of(["one", "the other"], read_page, overwrite=True)
    assert "Leads are not known: the other has no predictions.csv." in page.text


@pytest.mark.parametrize(
    ("evaluated_on", "shown"),
    [
        ("digits:@test?per_class=4", True),
        ("digits:@test?per_class=2", False),  # it lacks some of the images
        ("folder:gone", False),  # and no other dataset stands in, although the training data has such images
        ("2 images a class held out of digits:@test?per_class=4", True),
        ("2 images a class held out of digits:@test?per_class=2", False),
    ],
)
def test_wrong_images_are_those_of_the_dataset_that_judged(evaluated_on, shown, tmp_path, write_run, read_page):
    held = evaluated_on.rpartition(" of ")[2] if " of " in evaluated_on else "digits:@test?per_class=4"
    run = write_run(tmp_path / "run", metrics={"evaluated_on": evaluated_on}, config={"dataset": held})
    page = page_of([run], read_page)
    assert (page.source.count("that was taken for digit") > 0) == shown
    assert ("The images that judged the run are not at hand" in page.text) != shown


def test_a_start_that_is_missing_is_not_called_published(tmp_path, write_run, read_page):
    gone = tmp_path / "gone" / "pre"
    run = write_run(tmp_path / "run", config={"init": str(gone), "weights": "default"})
    page = page_of([run], read_page)
    assert "It began with an earlier run, pre, which is not at hand, and was then trained on" in page.text
    assert "as published" not in page.text


def test_a_run_of_an_earlier_version_has_a_page(tmp_path, write_run, read_page):
    run = write_run(tmp_path / "run")
    write_json(run / "environment.json", {"inputs": {}})
    assert " A run: " in page_of([run], read_page).text


def test_a_page_says_when_a_run_began_and_whose_weights_it_took(tmp_path, write_run, read_page):
    before, run = write_run(tmp_path / "pre"), write_run(tmp_path / "run")
    began = json.loads((run / "environment.json").read_text()) | {"started": "2026-11-30T11:15:56.510109+00:00"}
    write_json(run / "environment.json", began)
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"init": str(before), "weights": "default"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    shown = page_of([run], read_page).text
    assert "started 30 November 2026, 11:15 UTC" in shown and "510109" not in shown
    assert "weights: default stands for those of the run that this one started from." in shown
    assert "weights: default stands" not in page_of([before], read_page).text
