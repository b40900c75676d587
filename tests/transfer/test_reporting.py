"""The page of one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from features.infrastructure.errors import InputError
from features.infrastructure.files import write_json
from features.infrastructure.tables import write_table
from finetune import FinetuneConfig, finetune
from finetune.evaluation.metrics import evaluate_scores
from transfer import ReportConfig, plots, report
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
    (tmp_path / "mine.h5").write_text("a bank")
    with pytest.raises(InputError, match=r"mine\.h5: is there already"):
        report(ReportConfig(run=config.out, out=str(tmp_path / "mine.h5")))
    assert (tmp_path / "mine.h5").read_text() == "a bank"
    assert f"{metrics['top1']:.4f}" in page
    assert "Accuracy of each class over its training images" in page
    for pair in metrics["confusions"]:
        assert f'<td>{pair["true"]}</td><td>{pair["predicted"]}</td><td class="n">{pair["images"]}</td>' in page
    assert "data:image/png" in page and 'src="http' not in page
    assert "<run>" not in page and "&lt;run&gt;" in page  # what a person named is text, never markup


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
    write_json(run / "metrics.json", evaluate_scores(np.eye(3), [0, 1, 1], counts).to_json())
    (run / "config.yaml").write_text("loss: softmax\ninit: resnet8\nepochs: 3\n")
    rows = zip(("hawk", "<wren>", "owl"), counts, (1, 2, 0), (1.0, 0.5, 0.25), strict=True)
    write_table(run / "per_class.csv", {}, ("class", "train_images", "images", "accuracy"), rows)
    page = report(ReportConfig(run=str(run))).path.read_text()
    names = [page.index(f"<td>{name}</td>") for name in ("owl", "&lt;wren&gt;", "hawk")]
    assert names == sorted(names)
    assert "begun today: softmax, 3 epochs from resnet8." in page
    assert page.count("data:image/png") == 1  # of the classes; a run without a history has no curve
    (run / "metrics.json").unlink()
    assert "hawk" not in report(ReportConfig(run=str(run))).path.read_text()


def test_the_drawing_stands_at_the_counts_and_means(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "_png", lambda figure: drawn.append(figure) or b"")
    classes = [{"train_images": n, "accuracy": a} for n, a in ((200, 0.9), (150, 0.7), (30, 0.6), (5, 0.1))]
    plots.classes_plot(classes, (100, 20))
    dots, *bars = drawn[0].axes[0].lines
    assert dots.get_xydata().tolist() == [[200, 90], [150, 70], [30, 60], [5, 10]]
    assert [bar.get_xydata().tolist() for bar in bars] == [[[150, 80], [200, 80]], [[30, 60]] * 2, [[5, 10]] * 2]
    plots.classes_plot([row | {"train_images": 7} for row in classes])
    assert drawn[1].axes[0].lines[0].get_xdata().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("counts", "labels"),
    [((29, 30), {"29", "30"}), ((120, 145), {"120", "135"}), ((20, 60), {"20", "60"}), ((5, 200), {"5", "10", "200"})],
)
def test_the_axis_of_training_images_has_numbers(counts, labels, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "_png", lambda figure: drawn.append(figure) or b"")
    plots.classes_plot([{"train_images": n, "accuracy": 0.5} for n in counts])
    drawn[0].canvas.draw()
    low, high = drawn[0].axes[0].get_xlim()
    shown = {tick.get_text() for tick in drawn[0].axes[0].get_xticklabels() if low <= tick.get_position()[0] <= high}
    assert labels <= shown


def test_a_class_without_training_images_is_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "_png", lambda figure: drawn.append(figure) or b"")
    plots.classes_plot([{"train_images": n, "accuracy": a} for n, a in ((300, 0.9), (0, 0.1))])
    drawn[0].canvas.draw()
    axes = drawn[0].axes[0]
    low, high = axes.get_xlim()
    x, y = axes.lines[0].get_xydata()[1]
    assert low < x < high and y == 10
    assert [tick.get_text() for tick in axes.get_xticklabels() if tick.get_position()[0] == x] == ["0"]
