from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import located, on_disk
from transfer.archives import unpack
from transfer.arm_comparison import choosing_arm, headline
from transfer.intervals import percent
from transfer.recipe import Recipe
from transfer.screen import console, say, show_next, show_page, show_table

if TYPE_CHECKING:
    from transfer.pipeline import Experiment

#: Chosen classes that are printed.
NAMED = 8


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Run a recipe: extract, rank, select, pre-train, fine-tune, evaluate, report.

    Attributes:
        recipe: The recipe's YAML file.
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
    from transfer.pipeline import run_recipe  # imports PyTorch

    with _keys_as_in_yaml():
        recipe = Recipe.read(config.recipe)
    out = on_disk(config.out or f"runs/{recipe.name}", "`out`")
    data = located(config.data or os.environ.get("TRANSFER_DATA") or recipe.data)
    recipe = recipe.placed(unpack(recipe.archives, data, out / "data") if recipe.archives else data)
    with _keys_as_in_yaml():
        return run_recipe(recipe, out)


@contextmanager
def _keys_as_in_yaml() -> Iterator[None]:
    """Let messages name the keys of a recipe as they stand in YAML, not as options of the command line."""
    try:
        yield
    except InputError as error:
        raise InputError(re.sub(r"_?`", "", str(error))) from error


def show(config: RunConfig, result: Experiment) -> None:
    """Print the accuracy of each arm, the verdict, and the commands that follow."""
    content = result.content
    show_arms(content)
    say(f"\n{headline(content)}")
    best = max((run for arm in content["arms"] for run in arm["runs"]), key=lambda run: run["top1"])["run"]
    predicting = f"transfer predict {shlex.quote(best)} PHOTOS --out predictions.csv    (by the best run)"
    show_page(content["report"])
    show_next(predicting)


def show_arms(content: Mapping[str, Any]) -> None:
    """Print the accuracy of each arm, the first classes that the best of those that choose took, and the time."""
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
    console.print(f"{content['seconds']:.0f} seconds")
