"""The pictures of the report, drawn from numbers."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from transfer import plots


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
