"""The plots of the methods' pages: of exact formulas, or of recorded results."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from recorded import RESULTS, recorded
from result_tables import CHOICES, LONG_TAIL, PAIRS

from features.readers.subsampling import long_tail_counts
from finetune.losses.class_weights import class_balanced_weights, effective_number
from finetune.losses.ldam import ldam_margins
from finetune.samplers.class_sampler import class_probabilities
from finetune.samplers.effective import effective_probabilities
from finetune.samplers.progressive import progressive_probabilities
from similarity.transport.earth_movers_distance import similarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BETAS = (0.9, 0.99, 0.999, 0.9999)
#: Lines are told apart by their dashes too.
DASHES = ("-", "--", "-.", ":", (0, (1, 1)), (0, (5, 1)))


def _logarithmic(axes: Axes, *sides: str) -> None:
    """Logarithmic scales with whole numbers at their marks."""
    for side in sides:
        getattr(axes, f"set_{side}scale")("log")
        axis = getattr(axes, f"{side}axis")
        axis.set_major_formatter("{x:,.10g}")
        axis.set_minor_formatter("")


def similarities() -> Figure:
    """exp(−γ·EMD) with a calibrated γ, and with the paper's on two scales of the features."""
    figure, axes = plt.subplots(layout="constrained")
    distance = np.linspace(0, 3, 200)
    for scale, words, dash in (
        (np.log(2), "calibrated: γ = ln 2 / d", DASHES[0]),
        (0.01 * 20, "γ = 0.01, classes 20 apart", DASHES[1]),
        (0.01 * 1.4, "γ = 0.01, points of length 1", DASHES[2]),
    ):
        axes.plot(distance, [similarity(x, scale) for x in distance], linestyle=dash, label=words)
    axes.set(xlabel="EMD, in mean distances d between the target's classes", ylabel="similarity", ylim=(0, 1.05))
    axes.legend()
    return figure


def geometries() -> Figure:
    """Mean average precision of one strategy in each geometry."""
    columns, names = recorded("selection_quality")["columns"], ("euclidean", "cosine", "centred", "whitened")
    names = (*names, "sqrt-whitened")
    figure, axes = plt.subplots(layout="constrained")
    for (column, words), dash in zip(PAIRS.items(), DASHES, strict=True):
        means = [columns[column]["recipes"][f"{name} + nearest"]["mean"] for name in names]
        axes.plot(
            [name.replace("-", "-\n") for name in names], means, marker="o", markersize=4, linestyle=dash, label=words
        )
    axes.set(ylabel="mean average precision")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def strategies() -> Figure:
    """Mean average precision of the strategies for pairs of classes, and for targets of 50 kinds."""
    columns = recorded("selection_quality")["columns"]
    figure, axes = plt.subplots(figsize=(6.6, 3.6), layout="constrained")
    names = [head.replace("`", "").replace("*", "").replace("the default: ", "") for head in CHOICES]
    for number, (column, words) in enumerate(
        {
            "cifar100": "2, one dataset",
            "cifar100_by_tiny_imagenet": "2, another dataset",
            "by_tiny_imagenet_50": "50, another dataset",
        }.items()
    ):
        means = [columns[column]["recipes"][recipe]["mean"] for recipe in CHOICES.values()]
        axes.plot(means, np.arange(len(names)), "os^"[number], label=words)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="y", color="0.5", alpha=0.25)
    axes.set(xlabel="mean average precision", xlim=(0.2, 0.9))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, handletextpad=0.2, fontsize=9)
    return figure


def transport() -> Figure:
    """Seconds of the solvers against the number of source classes."""
    rows = [row for row in recorded("emd")["semi-dual"]["rows"] if row["points"] == "raw"]
    exact = [row for row in rows if "pot_seconds" in row]
    figure, axes = plt.subplots(layout="constrained")
    axes.plot([row["sources"] for row in rows], [row["seconds"] for row in rows], "o-", label="semi-dual, with bounds")
    axes.plot([row["sources"] for row in exact], [row["pot_seconds"] for row in exact], "s", label="exact: ot.emd2")
    _logarithmic(axes, "x", "y")
    axes.set_yticks([1, 2, 5, 10, 20, 50])
    axes.set(xlabel="source classes, for 1,000 target classes", ylabel="seconds")
    axes.legend()
    return figure


def interval_coverage() -> Figure:
    """The share of the intervals that hold the truth, by images a class."""
    rows = recorded("interval_coverage")["simulated"]
    sizes = sorted({row["images"] for row in rows})
    figure, axes = plt.subplots(layout="constrained")
    ways = (("held", "as printed", "o-", -0.03), ("bare", "before it is extended", "s--", 0.03))
    for key, words, dash, shift in ways:
        held = [[row[key] for row in rows if row["images"] == size] for size in sizes]
        means = np.array([np.mean(of) for of in held])
        least = means - [min(of) for of in held]
        axes.errorbar(np.arange(len(sizes)) + shift, means, yerr=[least, 0 * least], fmt=dash, capsize=3, label=words)
    axes.axhline(recorded("interval_coverage")["level"], color="0.5", linewidth=1)
    axes.set_xticks(range(len(sizes)), map(str, sizes))
    axes.set(xlabel="images a class", ylabel="share that holds the true distance", ylim=(0, 1.05))
    axes.legend(loc="lower right")
    return figure


def effective_numbers() -> Figure:
    """E_n against n, and the weight of a class in a long tail of 500 to 5 images."""
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    images, counts = np.logspace(0, 5, 200), long_tail_counts(500, 100, 100)
    for beta, dash in zip(BETAS, DASHES, strict=False):
        left.plot(images, effective_number(images, beta), linestyle=dash, label=f"β = {beta}")
        right.plot(counts, class_balanced_weights(counts, beta), linestyle=dash, label=f"β = {beta}")
    _logarithmic(left, "x", "y")
    _logarithmic(right, "x")
    left.set_xticks([1, 100, 10_000])
    left.set(xlabel="images n", ylabel="effective number")
    right.set(xlabel="images of the class", ylabel="weight, mean 1")
    left.legend(fontsize=9)
    return figure


def margins() -> Figure:
    """The margin of LDAM and the offset of balanced softmax against the images of a class."""
    counts = np.arange(5, 501)
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    left.plot(counts, ldam_margins(counts), label="LDAM")
    left.set(xlabel="images of the class", ylabel="margin, of a cosine", ylim=(0, 0.55))
    for tau, dash in zip((0.5, 1.0, 1.5), DASHES, strict=False):
        right.plot(counts, tau * np.log(counts / counts.max()), linestyle=dash, label=f"τ = {tau:g}")
    right.set(xlabel="images of the class", ylabel="added to the logit, largest class 0")
    right.legend(fontsize=9)
    _logarithmic(left, "x")
    _logarithmic(right, "x")
    return figure


def samplings() -> Figure:
    """The probability of each class in a long tail, for each sampling."""
    counts = long_tail_counts(500, 100, 100)
    figure, axes = plt.subplots(layout="constrained")
    for (words, chances), dash in zip(
        {
            "instance, q = 1": class_probabilities(counts, 1.0),
            "sqrt, q = 1/2": class_probabilities(counts, 0.5),
            "class, q = 0": class_probabilities(counts, 0.0),
            "progressive, half-way": progressive_probabilities(counts, 0.5),
            "effective, β = 0.99": effective_probabilities(counts, 0.99),
        }.items(),
        DASHES,
        strict=False,
    ):
        axes.plot(chances, linestyle=dash, label=words)
    _logarithmic(axes, "y")
    axes.set(xlabel="class, from 500 images (left) to 5 (right)", ylabel="probability of a draw")
    axes.legend(fontsize=9)
    return figure


def classifiers() -> Figure:
    """Accuracy on classes of many, medium and few images, for classifiers on the same features."""
    figure, axes = plt.subplots(layout="constrained")
    names = ("softmax", "softmax-ncm", "softmax-tau", "softmax-lws", "softmax-crt", "softmax-logit-adjusted")
    labels = ("as trained", *(name.partition("-")[2] for name in names[1:]))
    assert all(name in LONG_TAIL for name in names)
    places = np.arange(len(names))
    for shift, group, hatch in ((-0.27, "many", ""), (0, "medium", "///"), (0.27, "few", "\\\\\\")):
        files = (RESULTS / "long-tail" / f"{name}.json" for name in names)
        values = [100 * json.loads(file.read_text(encoding="utf-8"))["metrics"][group] for file in files]
        axes.bar(places + shift, values, 0.25, label=group, hatch=hatch, edgecolor="#010203", linewidth=0.6)
    axes.set_xticks(places, labels)
    axes.set(ylabel="accuracy, %")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3)
    return figure


def copies() -> Figure:
    """Copies found among 200 of each kind, by the whitened and by the plain cosine."""
    found = recorded("unlabelled")["duplicates"]["threshold 0.5"]
    kinds = [kind for kind in found["found"] if kind != "real"]
    figure, axes = plt.subplots(layout="constrained")
    places = np.arange(len(kinds))
    for shift, of, words, hatch in (
        (-0.2, found["found"], "whitened by similar images", ""),
        (0.2, found["plain_cosine"]["found"], "plain cosine", "///"),
    ):
        values = [of[kind] for kind in kinds]
        axes.barh(places + shift, values, 0.38, label=words, hatch=hatch, edgecolor="#010203", linewidth=0.6)
    axes.set_yticks(places, kinds)
    axes.invert_yaxis()
    axes.set(xlabel="copies found, of 200")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=2)
    return figure


#: Every plot by name.
FIGURES: dict[str, Callable[[], Figure]] = {
    figure.__name__.replace("_", "-"): figure
    for figure in (
        similarities,
        geometries,
        strategies,
        transport,
        interval_coverage,
        effective_numbers,
        margins,
        samplings,
        classifiers,
        copies,
    )
}
