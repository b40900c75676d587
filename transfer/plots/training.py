"""The course of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from transfer.plots.style import ACCENT, MAIN, WIDTH, legend, style

#: Figures of a validation in a history, by what the legend calls them.
_VALIDATION = {"validation_top1": "top-1", "validation_macro": "mean of the classes"}


def history_plot(history: Sequence[Mapping[str, float]], *, width: float = WIDTH) -> Figure:
    """Training loss by step, and beside it the accuracy on the validation images where there is a validation.

    Args:
        history: Rows of ``history.csv`` with ``step``, ``train_loss`` and perhaps ``validation_top1``, and with it
            perhaps ``validation_macro``.
        width: Inches.
    """
    validated = [row for row in history if "validation_top1" in row]
    beside = bool(validated) and width >= 5
    rows, columns = (1, 2) if beside else (2, 1) if validated else (1, 1)
    figure = Figure(figsize=(width, 2.6 * rows), layout="constrained")
    frames = figure.subplots(rows, columns, squeeze=False).flat
    loss = next(frames)
    style(loss, "step", "training loss", width / columns, 2.6)
    loss.plot([row["step"] for row in history], [row["train_loss"] for row in history], "-", color=MAIN)
    loss.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.grid(alpha=0.3)
    if validated:
        accuracy = next(frames)
        style(accuracy, "step", "accuracy on validation images, %", width / columns, 2.6)
        for (column, name), colour, line in zip(_VALIDATION.items(), (ACCENT, MAIN), ("-", "--"), strict=True):
            known = [row for row in validated if column in row]
            if known:
                steps, found = [row["step"] for row in known], [100 * row[column] for row in known]
                accuracy.plot(steps, found, line, color=colour, label=name)
        accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
        accuracy.grid(alpha=0.3)
        legend(accuracy)
    return figure
