from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.accuracies import show_figures
from transfer.screen import console, say, show_next, show_table
from transfer.typed_command import again

if TYPE_CHECKING:
    from finetune import EvaluateConfig


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
    report = [f"transfer report {shlex.quote(config.run)}"] if Path(config.run).is_dir() else []  # no checkpoint alone
    if config.per_class is None:
        show_next(f"{again('evaluate', config, per_class='classes.csv')}    (accuracy of each class)", *report)
    else:
        say(f"accuracy of each class: {config.per_class}")
        show_next(*report)
