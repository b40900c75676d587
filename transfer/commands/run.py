from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.infrastructure.storage.addresses import Location, located, on_disk
from transfer.archives import unpack
from transfer.arm_comparison import choosing_arm, headline, say_weighing
from transfer.intervals import percent
from transfer.pages.costs import seconds_in_words
from transfer.recipe import Recipe, keys_as_in_yaml
from transfer.screen import console, say, show_next, show_page, show_table

if TYPE_CHECKING:
    from transfer.pipeline import Experiment

#: Chosen classes that are printed.
NAMED = 8


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Run a recipe: extract, rank, select, pre-train, fine-tune, evaluate, report.

    Attributes:
        recipe: The recipe's YAML file; transfer inspect recipe-keys lists its keys.
        out: Directory of the results; by default runs/NAME.
        data: Folder or address of the recipe's archives; by default $TRANSFER_DATA, or else the recipe's own.
    """

    recipe: str
    out: str | None = None
    data: str | None = None


def run(config: RunConfig) -> Experiment:
    """Run a recipe to its report.

    Raises:
        InputError: The recipe or its data is wrong.
    """
    with keys_as_in_yaml():
        recipe = Recipe.read(config.recipe)
    out, data = directory_of(config, recipe), data_of(config, recipe)
    recipe = recipe.placed(unpack(recipe.archives, data, out / "data") if recipe.archives else data)
    from transfer.pipeline import run_recipe  # imports PyTorch

    with keys_as_in_yaml():
        return run_recipe(recipe, out, config.recipe)


def directory_of(config: RunConfig, recipe: Recipe) -> Path:
    """The directory of the results."""
    return on_disk(config.out or f"runs/{recipe.name}", "`out`")


def data_of(config: RunConfig, recipe: Recipe) -> Location:
    """The folder of the archives."""
    return located(config.data or os.environ.get("TRANSFER_DATA") or recipe.data)


def show(config: RunConfig, result: Experiment) -> None:
    """Print the accuracy of each arm, the verdict, and the commands that follow."""
    content = result.content
    show_arms(content)
    say(f"\n{headline(content)}")
    runs = [run for arm in content["arms"] for run in arm["runs"]]
    best = max(runs, key=lambda run: run["top1"])["run"]
    predicting = f"transfer predict {shlex.quote(best)} PHOTOS --out predictions.csv    (by the best run)"
    if len(runs) > 1:
        say("The best run was chosen by these test images, so its own figure is too high.")
    show_duration(content)
    show_page(content["report"])
    show_next(predicting)


def show_duration(content: Mapping[str, Any]) -> None:
    """Print how long this call took, and how many steps it found finished."""
    took = f"this run took {seconds_in_words(content['seconds']) or 'less than a second'}"
    if before := content.get("steps_before"):
        took += f"; {before:,} step{'s were' if before > 1 else ' was'} finished before"
    console.print(took)


def show_arms(content: Mapping[str, Any]) -> None:
    """Print the accuracy of each arm, the first classes that the best of those that choose took."""
    rows = []
    for arm in content["arms"]:
        deviation = None if arm["top1_std"] is None else percent(arm["top1_std"])
        runs = " ".join(percent(run["top1"]) for run in arm["runs"])
        rows.append((arm["arm"], percent(arm["top1_mean"]), deviation, runs))
    show_table(["arm", ">top-1, %", ">deviation", ">runs"], rows)
    shown = choosing_arm(content["arms"], content["selections"])
    arm = next((arm for arm in content["arms"] if arm["arm"] == shown), None)
    if arm is not None and not arm.get("drop"):
        names = [row["class"] for row in content["selections"][shown]]
        more = f", and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        say(f"\nchosen by {shown}: {', '.join(names[:NAMED])}{more}")
    elif said := say_weighing(content["arms"]) if shown is None else "":
        say(f"\n{said}")
