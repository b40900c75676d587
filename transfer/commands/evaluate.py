from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune import EvaluateConfig, evaluate
from transfer.accuracies import show_figures
from transfer.screen import console, say, show_next, show_table

__all__ = ["EvaluateConfig", "evaluate", "show"]


def show(config: EvaluateConfig, result: Any) -> None:
    """Print the accuracies, the most frequent confusions, and the commands that follow."""
    figures = result.to_json()
    seen = figures["classes"]["macro"]
    if seen < len(result.classes):
        console.print(f"{config.dataset} has images of {seen} of the model's {len(result.classes)} classes")
    show_figures(figures)
    if figures["confusions"]:
        console.print("\nmost frequent confusions:")
        rows = [
            (pair["true"], pair["predicted"], pair["images"], f"{100 * pair['share']:.0f}")
            for pair in figures["confusions"]
        ]
        show_table(["class", "taken for", ">images", ">share, %"], rows)
    report = [f"transfer report {config.run}"] if Path(config.run).is_dir() else []  # not of a checkpoint alone
    if config.per_class is None:
        show_next("the same with --per-class FILE.csv, for the accuracy of each class", *report)
    else:
        say(f"accuracy of each class: {config.per_class}")
        show_next(*report)
