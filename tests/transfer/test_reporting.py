"""The page of one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import InputError
from finetune import FinetuneConfig, finetune
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
    (tmp_path / "mine.h5").write_text("a bank")
    with pytest.raises(InputError, match=r"mine\.h5: is there already"):
        report(ReportConfig(run=config.out, out=str(tmp_path / "mine.h5")))
    assert (tmp_path / "mine.h5").read_text() == "a bank"
    assert f"{metrics['top1']:.4f}" in page
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
