"""Plots of accuracies: what is drawn are the numbers that were given, with names, units and the best one marked."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from transfer.arm_comparison import ArmComparison
from transfer.intervals import Estimate, mean_of, wilson
from transfer.plots import arms_plot, classes_plot, models_plot
from transfer.plots.style import ACCENT, MAIN

ARMS = [
    {"arm": "scratch", "runs": [{"top1": 0.40, "images": 100}, {"top1": 0.44, "images": 100}]},
    {"arm": "toolkit", "runs": [{"top1": 0.80, "images": 100}, {"top1": 0.82, "images": 100}]},
    {"arm": "last", "runs": [{"top1": 0.60, "images": 100}, {"top1": 0.64, "images": 100}]},
]


def lines(figure) -> dict:
    return {line.get_label(): line for line in figure.axes[0].lines}


def test_the_best_arm_is_marked_wherever_it_stands():
    found = lines(arms_plot(ARMS))
    for row, arm in enumerate(ARMS):
        values = [100 * run["top1"] for run in arm["runs"]]
        one = mean_of(values)
        assert found[f"runs {arm['arm']}"].get_xydata().tolist() == [[value, row] for value in values]
        assert found[f"mean {arm['arm']}"].get_xdata() == pytest.approx([np.mean(values)])
        assert found[f"interval {arm['arm']}"].get_xdata() == pytest.approx([one.low, one.high])
    colours = {name: to_hex(line.get_color()) for name, line in found.items()}
    assert colours["mean toolkit"] == ACCENT.lower()
    assert colours["mean last"] == colours["mean scratch"] == MAIN.lower()


def test_arms_have_names_and_ties_are_told():
    axes = arms_plot(ARMS).axes[0]
    # Two seeds: the leads of toolkit, paired, are 0.38 and 0.40 over scratch and 0.18 and 0.20 over last.
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["scratch", "toolkit (best)", "last"]
    assert axes.get_xlabel() == "top-1 accuracy on test images, %"
    close = [*ARMS[:2], {"arm": "last", "runs": [{"top1": 0.83, "images": 100}, {"top1": 0.76, "images": 100}]}]
    names = [tick.get_text() for tick in arms_plot(close).axes[0].get_yticklabels()]
    assert names == ["scratch", "toolkit (best)", "last (tied)"]


def test_a_comparison_that_was_made_elsewhere_is_drawn_as_it_is():
    accuracy = {"scratch": Estimate(0.5, 0.4, 0.6), "toolkit": Estimate(0.7, 0.6, 0.8), "last": Estimate(0.6, 0.5, 0.7)}
    made = ArmComparison("toolkit", accuracy, {}, ("scratch",), 1)
    figure = arms_plot(ARMS, made, label="top-1 accuracy on validation images, %")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["scratch (tied)", "toolkit (best)", "last"]
    assert lines(figure)["interval toolkit"].get_xdata() == pytest.approx([60, 80])
    assert axes.get_xlabel() == "top-1 accuracy on validation images, %"


def test_few_classes_have_their_names_and_intervals():
    rows = [("owl", 40, 10, 0.5), ("$x^{2$", 5, 20, 0.9), ("hawk_&", 7, 4, 0.25)]
    classes = [dict(zip(("class", "train_images", "images", "accuracy"), row, strict=True)) for row in rows]
    figure = classes_plot(classes)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["$x^{2$", "owl", "hawk_&"]
    *intervals, dots = axes.lines
    assert dots.get_xydata().tolist() == [[90, 0], [50, 1], [25, 2]]
    assert intervals[1].get_xdata() == pytest.approx([100 * end for end in wilson(5, 10)])
    assert axes.get_xlabel() == "accuracy of the class, %"
    figure.canvas.draw()  # a name is never mathematical text


def many(accuracies, counts) -> list[dict]:
    return [
        {"class": f"c{i}", "train_images": int(n), "images": 10, "accuracy": float(a)}
        for i, (a, n) in enumerate(zip(accuracies, counts, strict=True))
    ]


def test_many_classes_stand_over_their_training_images_with_the_means_of_the_groups():
    counts = np.r_[np.full(20, 200), np.full(15, 50), np.full(15, 5)]
    accuracies = np.r_[np.linspace(0.8, 1, 20), np.full(15, 0.6), np.full(15, 0.1)]
    axes = classes_plot(many(accuracies, counts), (100, 20)).axes[0]
    dots, *bars = axes.lines
    assert dots.get_xydata() == pytest.approx(np.column_stack([counts, 100 * accuracies]))
    assert {bar.get_label(): bar.get_ydata()[0] for bar in bars} == pytest.approx({"many": 90, "medium": 60, "few": 10})
    assert axes.get_xlabel() == "training images of the class"
    assert axes.get_ylabel() == "accuracy, %"
    alike = classes_plot(many(accuracies, np.full(50, 7))).axes[0]
    assert sorted(alike.lines[0].get_xdata()) == list(range(1, 51))
    assert alike.get_xlabel() == "class, by accuracy; each has 7 training images"


@pytest.mark.parametrize(
    ("counts", "labels"),
    [((29, 30), {"29", "30"}), ((120, 145), {"120", "135"}), ((20, 60), {"20", "60"}), ((5, 200), {"5", "10", "200"})],
)
def test_the_axis_of_training_images_has_numbers(counts, labels):
    figure = classes_plot(many([0.5] * 50, np.resize(counts, 50)))
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    shown = {tick.get_text() for tick in figure.axes[0].get_xticklabels() if low <= tick.get_position()[0] <= high}
    assert labels <= shown


def test_a_class_without_training_images_is_drawn_too():
    figure = classes_plot(many([0.9] * 49 + [0.1], [300] * 49 + [0]))
    figure.canvas.draw()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    x, y = axes.lines[0].get_xydata()[-1]
    assert low < x < high
    assert y == pytest.approx(10)
    assert [tick.get_text() for tick in axes.get_xticklabels() if tick.get_position()[0] == x] == ["0"]


def test_models_have_their_measure_and_their_accuracy():
    models = [
        {"model": "a", "measures": {"logme": 1.5}, "test_top1": 0.9},
        {"model": "b", "measures": {}, "test_top1": None},
    ]
    measure, probe = models_plot(models, "logme").axes
    assert measure.lines[0].get_xdata()[0] == 1.5
    assert np.isnan(measure.lines[0].get_xdata()[1])
    assert probe.lines[0].get_xdata()[0] == 90
    assert [axes.get_xlabel() for axes in (measure, probe)] == ["logme", "top-1 of a linear probe, %"]
    assert [tick.get_text() for tick in measure.get_yticklabels()] == ["a", "b"]
    assert len(models_plot(models[1:], "logme").axes) == 1
