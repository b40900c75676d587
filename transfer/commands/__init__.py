"""The commands: one row each below, and one module each in this package.

The module of ``rank-models`` is ``rank_models``. It holds the configuration ``RankModelsConfig``, whose fields are the
options; the function ``rank_models``, from a configuration to a result with ``to_json()``; and ``show``, which prints
the result as tables. The rows are read without importing the modules, so that ``transfer --help`` answers at once.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: The word after ``transfer``.
        meaning: One line for ``transfer --help``.
        positional: Arguments that are typed without an option, in this order.
        noun: What the module, the function and the configuration are called, if not as the command.
    """

    name: str
    meaning: str
    positional: tuple[str, ...] = ()
    noun: str = ""

    def config(self) -> Any:
        """The configuration dataclass."""
        return self._get("".join(word.capitalize() for word in self._words) + "Config")

    def function(self) -> Any:
        """The function from a configuration to a result."""
        return self._get("_".join(self._words))

    def show(self) -> Any:
        """The function that prints a configuration's result."""
        return self._get("show")

    @property
    def _words(self) -> list[str]:
        return (self.noun or self.name).split("-")

    def _get(self, name: str) -> Any:
        return getattr(importlib.import_module(f"{__name__}.{'_'.join(self._words)}"), name)


#: Every command by its name, in the order of use.
COMMANDS = {
    row.name: row
    for row in (
        Command("try", "from photographs to a verdict on where to start, and a model", ("photographs",), "trial"),
        Command("extract", "extract a feature bank from images", ("dataset",)),
        Command("merge", "merge the shards of a feature bank", ("shards",)),
        Command("duplicates", "find copies of a target's images in a source, to exclude them", ("source",)),
        Command("cluster", "cluster unlabelled images into pseudo-classes", ("bank",)),
        Command("rank", "rank source domains by their distance to a target"),
        Command("rank-models", "rank pre-trained models by how well they will transfer to a target"),
        Command("select", "select source classes to pre-train on"),
        Command("pretrain", "train a backbone on source classes", ("sources",)),
        Command("finetune", "transfer a backbone to the target", ("dataset",)),
        Command("fit-classifier", "fit a classifier to the frozen features of a backbone", ("dataset",)),
        Command("evaluate", "measure the accuracy of a trained model", ("run", "dataset")),
        Command("predict", "predict the classes of images with a trained model", ("run", "images")),
        Command("export", "write a trained model or a bank for other programs, or publish it", ("run",)),
        Command("compare", "compare the figures of several runs", ("runs",)),
        Command("run", "run a whole recipe; finished steps are reused", ("recipe",)),
        Command("report", "write one HTML page of a run, several runs, a recipe, copies or clusters", ("run",)),
        Command("demo", "run the whole job on embedded data, offline"),
        Command("inspect", "show what a dataset, bank or run holds, or list the names of a kind", ("what",)),
    )
}
