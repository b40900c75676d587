"""The page of one run."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import numpy as np
import pytest

from features.infrastructure.disk.files import write_json
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from finetune import FinetuneConfig, finetune
from finetune.evaluation.metrics import evaluate_scores
from transfer import ReportConfig, report
from transfer.cli import main


def test_a_run_has_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    config = FinetuneConfig(
        dataset="digits:@train?per_class=2",
        init="resnet8",
        weights="none",
        image_size=16,
        steps=4,
        batch_size=8,
        augment="affine",
        test="digits:@test?per_class=3",
        out=str(tmp_path / "<run>"),
    )
    metrics = finetune(config).metrics
    page = report(ReportConfig(run=config.out)).path.read_text()
    report(ReportConfig(run=config.out))  # its own page is written anew
    (tmp_path / "mine.html").write_text("a page")
    with pytest.raises(InputError, match=r"mine\.html: is there already"):
        report(ReportConfig(run=config.out, out=str(tmp_path / "mine.html")))
    assert (tmp_path / "mine.html").read_text() == "a page"
    assert f"{metrics['top1']:.4f}" in page
    assert "Test accuracy of each of 10 classes against its number of training images" in page
    labels = ("class", "taken for", 'images" class="n')
    found = re.findall("".join(f'<td data-label="{label}">(.*?)</td>' for label in labels), page)
    assert found == [(pair["true"], pair["predicted"], str(pair["images"])) for pair in metrics["confusions"]]
    assert "data:image/svg+xml" in page and 'src="http' not in page
    assert "<run>" not in page and "&lt;run&gt;" in page  # what the user named is text, never markup


def test_nothing_to_report_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to report"):
        report(ReportConfig(run=str(tmp_path)))


def test_a_run_that_is_not_finished_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    finetune(
        FinetuneConfig(
            dataset="digits:@train?per_class=2", init="resnet8", weights="none", image_size=16, steps=2, out=str(out)
        )
    )
    assert report(ReportConfig(run=str(out))).finished
    (out / "metrics.json").unlink()
    assert main(["report", str(out)]) == 0
    assert "not finished" in capsys.readouterr().out


@pytest.mark.parametrize("counts", [(200, 50, 5), (5, 5, 5), (7, 7, 300)])
def test_the_classes_of_a_run_are_drawn_and_the_worst_are_named(tmp_path: Path, counts: tuple[int, ...]) -> None:
    run = tmp_path / "run"
    write_json(run / "environment.json", {"run": "finetune", "started": "today", "inputs": {}, "versions": {}})
    figures = {"evaluated_on": "digits:@test"} | evaluate_scores(np.eye(3), [0, 1, 1], counts).to_json()
    write_json(run / "metrics.json", figures)
    (run / "config.yaml").write_text("loss: softmax\ninit: resnet8\nepochs: 3\n")
    rows = zip(("hawk", "<wren>", "owl"), counts, (1, 2, 0), (1.0, 0.5, 0.25), strict=True)
    write_table(run / "per_class.csv", {}, ("class", "train_images", "images", "accuracy"), rows)
    page = report(ReportConfig(run=str(run))).path.read_text()
    assert _texts(page)[-3:] == ["hawk", "<wren>", "owl"]  # the names of the picture's rows, best first
    assert "started today: softmax, 3 epochs from resnet8." in page
    assert page.count('<picture class="still">') == 1  # of the classes; a run without a history has no curve
    (run / "metrics.json").unlink()
    assert "hawk" not in report(ReportConfig(run=str(run))).path.read_text()


def _texts(page: str) -> list[str]:
    """The texts of the first picture of a page."""
    picture = base64.b64decode(page.split("data:image/svg+xml;base64,")[1].split('"')[0]).decode()
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture)]


def test_the_documented_keys(made_run, said, place):
    page = place / "page.html"
    assert said("report", made_run, "--out", page) == {"report": str(page), "finished": True}
    assert page.read_text().startswith("<!")
