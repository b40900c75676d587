"""Accuracies on the screen and on the page of a run: one table, with the counts behind each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfer.screen import console, say, show_table

#: What to say of figures that are not of test images, by ``judged_on`` of the metrics.
CAUTIONS = {
    "training": "these are training images",
    "validation": "these are the validation images, on which the best epoch was chosen",
}


#: Groups of classes by their number of training images.
GROUPS = ("many", "medium", "few")


def shown_groups(figures: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The groups of classes that any of some runs has, if there are several; with one, it is the mean of the classes.

    Args:
        figures: Mappings with a value, or None, for each of :data:`GROUPS`.
    """
    there = tuple(name for name in GROUPS if any(one.get(name) is not None for one in figures))
    return there if len(there) > 1 else ()


def accuracy_table(figures: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """The head and the rows of a table of accuracies, each with the classes and the images that it is a mean over.

    Args:
        figures: What ``Metrics.to_json`` gives; the run of an earlier version may lack ``borders``.
    """
    names = ("top1", "top5", "macro", *GROUPS)
    behind = ("macro",) * 3 + names[3:]  # the classes that have an evaluated image, for the first three
    rows = [
        ["accuracy", *(figures[name] for name in names)],
        ["classes", *(figures["classes"].get(name) for name in behind)],
        ["images", *(figures["group_images"].get(name) for name in behind)],
    ]
    if "borders" in figures:
        many, few = (figures["borders"][name] for name in ("many", "few"))
        rows.append(["training images per class", "", "", "", f"> {many}", f"{few}–{many}", f"< {few}"])
    return ["", *names], rows


def show_accuracies(figures: Mapping[str, Any]) -> None:
    """Print the table of accuracies."""
    (_, *names), rows = accuracy_table(figures)
    show_table(["", *(f">{name}" for name in names)], rows)


def show_figures(figures: Mapping[str, Any]) -> None:
    """Print the table of accuracies and the calibration error."""
    show_accuracies(figures)
    if figures.get("calibration_error") is not None:  # scores that are no probabilities have none
        console.print(f"\nexpected calibration error {figures['calibration_error']:.4f}")


def judged_on(figures: Mapping[str, Any], *, tested: bool) -> str:
    """Return whether figures are of test, validation or training images; runs of earlier versions do not say."""
    return figures.get("judged_on", "test" if tested else "training")


def show_training(config: Any, result: Any) -> None:
    """Print the final accuracies of a training, and where its search is recorded."""
    if remark := CAUTIONS.get(judged_on(result.metrics, tested=config.test is not None)):
        console.print(f"{remark}; give --test for accuracies on other images")
    show_accuracies(result.metrics)
    if getattr(config, "class_weights", None) is not None:
        console.print("these are means over all classes, also over those of little weight, which are hardly drawn")
    if getattr(config, "search", False):
        say(f"\ntrials of the search: {config.out}.search/search.json")
