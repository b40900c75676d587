"""Plots of sizes, distances, trainings, choices, confusions and images: the data of the artists are those given."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from features.dataset import ImageDataset
from features.image_sources import UnreadableImage
from similarity import SelectionCurve
from transfer.plots import (
    confusion_plot,
    contact_sheet,
    counts_plot,
    curve_plot,
    domains_plot,
    examples,
    history_plot,
    map_plot,
    shares_plot,
)
from transfer.plots.choice import GAIN, SHARE

MATHS = "$x^{2$"


def texts(ticks) -> list[str]:
    return [tick.get_text() for tick in ticks]


def test_the_sizes_of_several_datasets_stand_in_one_plot():
    counts = {"b": [3, 500, 20], "a": np.arange(1, 200)}
    axes = counts_plot(counts).axes[0]
    assert len(axes.figure.axes) == 1
    for line, given in zip(axes.lines, counts.values(), strict=False):
        assert line.get_ydata().tolist() == sorted(given, reverse=True)
    assert texts(axes.figure.legends[0].get_texts()) == ["b: 3 classes, 523 images", "a: 199 classes, 19,900 images"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("class, the largest first", "images of the class")


def test_a_line_of_a_million_classes_has_few_points():
    counts = np.arange(1_000_000, 0, -1)
    line = counts_plot({"d": counts}).axes[0].lines[0]
    x, y = line.get_xdata(), line.get_ydata()
    assert len(x) <= 2000
    assert (x[0], x[-1]) == (1, 1_000_000)
    assert y.tolist() == counts[x - 1].tolist()


def test_few_classes_have_bars_with_their_names():
    figure = counts_plot({"d": [2, 9, 5]}, ["two", MATHS, "five"])
    axes = figure.axes[0]
    assert texts(axes.get_yticklabels()) == [MATHS, "five", "two"]
    assert [bar.get_width() for bar in axes.patches] == [9, 5, 2]
    figure.canvas.draw()
    with pytest.raises(ValueError, match="one dataset"):
        counts_plot({"d": [2], "e": [3]}, ["two"])
    with pytest.raises(ValueError, match="at least one"):
        counts_plot({})


def domain(source: str, distance: float, estimate: float | None) -> dict:
    interval = (None, None) if estimate is None else (estimate - 0.1, estimate + 0.1)
    given = {"nearest_class_distance": distance, "nearest_class_distance_estimate": estimate}
    return {"source": source, **given, "nearest_class_distance_interval": interval, "emd": 2 * distance}


def test_domains_have_their_intervals_where_they_are_known():
    domains = [domain("near", 1.0, 0.8), domain("unknown", 1.5, None)]
    axes = domains_plot(domains).axes[0]
    plug_in = next(line for line in axes.lines if line.get_label() == "measured")
    assert plug_in.get_xydata().tolist() == [[1.0, 0], [1.5, 1]]
    drawn = [line.get_xdata().tolist() for line in axes.lines if not line.get_label().startswith(("measured", "less"))]
    assert [[round(x, 6) for x in line] for line in drawn] == [[0.7, 0.9], [0.8]]
    assert texts(axes.get_yticklabels()) == ["near", "unknown"]
    emd = domains_plot(domains, by="emd").axes[0]
    assert emd.get_xlabel().startswith("Earth Mover's Distance")
    with pytest.raises(ValueError, match="by must be one of"):
        domains_plot(domains, by="similarity")
    assert texts(axes.figure.legends[0].get_texts()) == ["measured", "less sampling noise, with 95 % interval"]
    unknown = domains_plot([domain("unknown", 1.5, None)])
    assert texts(unknown.legends[0].get_texts()) == ["measured"]  # no interval is drawn


LONG = ["glyphs:DIGIT,MATHEMATICAL", "digits:@train?per_class=2&seed=0", *(f"glyphs:SCRIPT-{i}" for i in range(5))]


@pytest.mark.parametrize("width", [7.0, 3.9])
@pytest.mark.parametrize(
    "plot",
    [
        lambda width: domains_plot([domain(name, 1.0, None) for name in LONG], width=width),
        lambda width: counts_plot({name: np.arange(1, 1000) for name in LONG}, width=width),
        lambda width: counts_plot({LONG[1]: [5, 4]}, LONG[:2], width=width),
    ],
    ids=["domains", "counts", "bars"],
)
def test_no_text_is_cut_off_and_the_legend_takes_no_room_from_the_axes(plot, width):
    figure = plot(width)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    drawn = [axes.xaxis.label, axes.yaxis.label, *(one for legend in figure.legends for one in legend.get_texts())]
    for text in (one for one in drawn if one.get_text()):
        (left, lower), (right, upper) = text.get_window_extent().get_points()
        assert left > -1 and lower > -1 and right < figure.bbox.x1 + 1 and upper < figure.bbox.y1 + 1, text
    assert not figure.legends or axes.get_window_extent().height > 1.5 * figure.dpi


def test_a_training_has_its_loss_and_its_validation():
    rows = [{"step": 10, "train_loss": 2.0}, {"step": 20, "train_loss": 1.0}]
    (loss,) = history_plot(rows).axes
    assert all(float(tick).is_integer() for tick in loss.get_xticks())  # there is no half of a step
    assert loss.lines[0].get_xydata().tolist() == [[10, 2.0], [20, 1.0]]
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("step", "training loss")
    validated = [row | {"validation_top1": 0.5, "validation_macro": 0.25} for row in rows]
    for width in (7.0, 3.9):
        _, accuracy = history_plot(validated, width=width).axes
        assert [line.get_ydata().tolist() for line in accuracy.lines] == [[50, 50], [25, 25]]
        assert accuracy.get_ylabel().replace("\n", " ") == "accuracy on validation images, %"
        assert texts(accuracy.get_legend().get_texts()) == ["top-1", "mean of the classes"]
    _, accuracy = history_plot([row | {"validation_top1": 0.5} for row in rows]).axes
    assert texts(accuracy.get_legend().get_texts()) == ["top-1"]


def curve(share) -> SelectionCurve:
    distance = np.array([1.0, 0.4, 0.2, 0.15, 0.12, 0.1])
    return SelectionCurve("t", 9, np.arange(1, 7) * 10, distance, share)


def test_a_curve_marks_its_knee_and_the_choice():
    given = curve(np.array([0.3, 0.7, 0.8, 0.85, 0.9, 0.95]))
    axes = curve_plot(given, chosen=4).axes[0]
    found = {line.get_label(): line for line in axes.lines}
    assert found[SHARE].get_ydata() == pytest.approx(100 * given.share)
    assert found[GAIN].get_ydata() == pytest.approx(100 * given.gain)
    assert given.knee == 2
    assert found["knee: 2 classes"].get_xydata().tolist() == [[2, 70]]
    assert found["chosen: 4 classes"].get_xydata().tolist() == [[4, 85]]
    assert axes.get_xlabel() == "chosen classes"
    assert axes.get_ylabel().endswith("%")
    without = {line.get_label() for line in curve_plot(curve(None)).axes[0].lines}
    assert SHARE not in without


def test_shares_have_the_names_of_both_sides():
    figure = shares_plot([[0.25, 0.5, 0.0], [0.1, 0.0, 0.9]], ["t", MATHS], ["a", "b", MATHS])
    axes, bar = figure.axes
    assert np.asarray(axes.images[0].get_array()).tolist() == [[25, 50, 0], [10, 0, 90]]
    assert texts(axes.get_yticklabels()) == ["t", MATHS]
    assert texts(axes.get_xticklabels()) == ["a", "b", MATHS]
    assert bar.get_ylabel() == "share of the target class, %"
    figure.canvas.draw()
    with pytest.raises(ValueError, match="shape"):
        shares_plot([[1.0]], ["t", "u"], ["a"])


def test_a_map_tells_the_kinds_apart_by_shape_too():
    kinds = ["source", "chosen", "target", "source"]
    points = [{"x": i, "y": -i, "class": f"{MATHS}{i}", "kind": kind} for i, kind in enumerate(kinds)]
    figure = map_plot(points)
    axes = figure.axes[0]
    assert [scatter.get_offsets().tolist() for scatter in axes.collections] == [[[0, 0], [3, -3]], [[1, -1]], [[2, -2]]]
    assert len({scatter.get_paths()[0].vertices.tobytes() for scatter in axes.collections}) == 3
    assert texts(axes.texts) == [f"{MATHS}2"]
    assert texts(figure.legends[0].get_texts())[1] == "chosen source classes (1)"
    figure.canvas.draw()


def test_the_legend_of_a_map_says_of_how_many_classes_it_is():
    given = [("target", 5000), ("target", 5000), ("source", 1)]
    points = [{"x": i, "y": i, "class": f"c{i}", "kind": kind, "of": of} for i, (kind, of) in enumerate(given)]
    legend = texts(map_plot(points).legends[0].get_texts())
    assert legend == ["source classes (1)", "target classes (2 of 5,000)"]  # none is chosen, and none is another


def test_a_confusion_matrix_is_in_shares_of_the_true_class():
    figure = confusion_plot([[3, 1], [0, 2]], ["a", MATHS])
    axes, bar = figure.axes
    assert np.asarray(axes.images[0].get_array()).tolist() == [[75, 25], [0, 100]]
    assert texts(axes.get_xticklabels()) == texts(axes.get_yticklabels()) == ["a", MATHS]
    assert texts(axes.texts) == ["3", "1", "2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert bar.get_ylabel() == "share of the true class, %"
    figure.canvas.draw()
    part = confusion_plot([[3, 1], [0, 2]], ["a", "b"], totals=[8, 4]).axes[0]
    assert np.asarray(part.images[0].get_array()).tolist() == [[37.5, 12.5], [0, 50]]
    with pytest.raises(ValueError, match="a row and a column a class"):
        confusion_plot([[3]], ["a", "b"])


class Colours:
    """Images of one colour each; some cannot be read."""

    def __init__(self, unreadable: frozenset[int]) -> None:
        self.unreadable = unreadable

    def __len__(self) -> int:
        return 6

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        if index in self.unreadable:
            raise UnreadableImage("broken")
        return Image.new("RGB", (200, 100), (index, 0, 0))


def test_an_example_is_the_first_readable_image_of_its_class():
    given = ImageDataset("d", ("a", "b", "c"), np.array([1, 0, 1, 0, 2, 1]), list("uvwxyz"), Colours(frozenset({0, 4})))
    found = examples(given, ["b", "c", "a"])
    assert [(name, image.getpixel((5, 5))[0], image.size) for name, image in found] == [
        ("b", 2, (96, 96)),
        ("a", 1, (96, 96)),
    ]
    figure = contact_sheet([(f"{MATHS}_{name}", image) for name, image in found], columns=4)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == [f"{MATHS} b", f"{MATHS} a"]
    figure.canvas.draw()
