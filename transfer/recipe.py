"""The recipe: one YAML file that says a whole experiment, checked before any work is done.

An experiment asks one question: which source classes should the network be pre-trained on before it
is fine-tuned to the target? Every arm is one answer; all arms share the budget and the seeds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from features.extraction.extractor import ExtractConfig
from features.infrastructure.errors import InputError
from finetune.classifier_fitting import FitClassifierConfig
from finetune.classifiers.second_stage import METHODS
from finetune.finetuning import FinetuneConfig
from finetune.pretraining import PretrainConfig
from similarity import DEFAULT_GEOMETRY, GEOMETRIES, STRATEGIES
from transfer.arguments import from_mapping
from transfer.cli import read_yaml
from transfer.commands import RankConfig, SelectConfig


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One answer to "what should be pre-trained on?".

    Attributes:
        strategy: How source classes are chosen; none at all means no pre-training.
        geometry: Ground metric of the choice.
        classes: Classes to choose, instead of the recipe's number.
        init: Without pre-training: the backbone to fine-tune from, with its published weights.
    """

    strategy: str | None = None
    geometry: str = DEFAULT_GEOMETRY
    classes: int | None = None
    init: str | None = None

    def __post_init__(self) -> None:
        if self.strategy is not None and self.strategy not in STRATEGIES:
            raise InputError(f"strategy {self.strategy!r} is not one of {', '.join(STRATEGIES)}")
        if self.geometry not in GEOMETRIES:
            raise InputError(f"geometry {self.geometry!r} is not one of {', '.join(GEOMETRIES)}")
        if self.classes is not None and self.classes < 1:
            raise InputError(f"classes {self.classes}: expected at least 1")
        if self.strategy is not None and self.init is not None:
            raise InputError("an arm either selects classes to pre-train on (strategy) or starts from init, not both")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole experiment.

    Attributes:
        name: What to call it.
        sources: Dataset specs of the sources.
        target: Dataset spec of the target's training images; {seed} in it is each run's seed, so that
            every seed draws its own images (digits:@train?per_class=2&seed={seed}) and selects for them.
        test: Dataset spec of the target's test images.
        classes: Source classes that an arm selects.
        arms: Arm by name; the last one is the one that the experiment is about.
        seeds: A pre-training and a fine-tuning for each arm and seed.
        extract: Options of transfer extract.
        rank: Options of transfer rank.
        select: Options of transfer select.
        pretrain: Options of transfer pretrain.
        finetune: Options of transfer finetune.
        archives: Tar files to unpack first; {data} in a spec is where they go.
        data: Folder of the archives, relative to the working directory.
    """

    name: str
    sources: list[str]
    target: str
    test: str
    arms: dict[str, Any]
    classes: int
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    extract: dict[str, Any] = field(default_factory=dict)
    rank: dict[str, Any] = field(default_factory=dict)
    select: dict[str, Any] = field(default_factory=dict)
    pretrain: dict[str, Any] = field(default_factory=dict)
    finetune: dict[str, Any] = field(default_factory=dict)
    archives: list[str] = field(default_factory=list)
    data: str = "data"

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Read and check a recipe.

        Raises:
            InputError: The file cannot be read, or an option in it is wrong.
        """
        recipe = from_mapping(cls, read_yaml(path), str(path))
        arms = {}
        for name, options in recipe.arms.items():
            try:
                arms[name] = from_mapping(Arm, options or {}, f"{path}, arm {name}")
            except InputError as error:
                raise error if str(path) in str(error) else InputError(f"{path}, arm {name}: {error}") from None
        if not arms or not recipe.seeds:
            raise InputError(f"{path}: an experiment needs at least one arm and one seed")
        if len(set(recipe.seeds)) < len(recipe.seeds) or min(recipe.seeds) < 0:
            raise InputError(f"{path}: seeds {recipe.seeds}: expected different integers of at least 0")
        recipe = replace(recipe, arms=arms)
        recipe._check_steps(str(path))
        return recipe

    def _check_steps(self, where: str) -> None:
        """Build every step's configuration once, so that a wrong option is refused before any work."""
        keeping = [name for name, row in METHODS.items() if row.keeps_classifier]
        transfer, given = transfer_step(self.finetune)
        if self.finetune.get("classifier") == "keep" or self.finetune.get("method") in keeping:
            raise InputError(
                f"{where}, finetune: starts from the run's own classifier, which is one of the source classes; leave "
                f"out classifier: keep, and methods {', '.join(keeping)}"
            )
        own: Mapping[str, tuple[type, Mapping[str, Any], Mapping[str, Any]]] = {
            "extract": (ExtractConfig, self.extract, {"dataset": self.target, "out": "-"}),
            "rank": (RankConfig, self.rank, {"target": "-", "source": ["-"], "explain": "-", "overwrite": True}),
            "select": (
                SelectConfig,
                self.select,
                {"target": ["-"], "source": ["-"], "classes": self.classes, "out": "-"}
                | {"curve": None, "overwrite": True, "strategy": "random", "geometry": DEFAULT_GEOMETRY, "seed": 0},
            ),
            "pretrain": (
                PretrainConfig,
                self.pretrain,
                {"sources": self.sources, "subset": "-", "out": "-", "seed": 0},
            ),
            "finetune": (
                transfer,
                given,
                {"dataset": self.target, "test": self.test, "init": "-", "weights": "none", "out": "-", "seed": 0},
            ),
        }
        for step, (config, options, fixed) in own.items():
            clash = [name for name in options if name in fixed]
            if clash:
                raise InputError(f"{where}, {step}: {clash[0]} is set by the recipe itself; leave it out here")
            try:
                from_mapping(config, {**fixed, **options}, f"{where}, {step}")
            except InputError as error:
                raise error if where in str(error) else InputError(f"{where}, {step}: {error}") from None

    def placed(self, data: Path) -> Recipe:
        """The recipe with ``{data}`` in its specs replaced by a folder."""
        return replace(
            self,
            sources=[spec.replace("{data}", str(data)) for spec in self.sources],
            target=self.target.replace("{data}", str(data)),
            test=self.test.replace("{data}", str(data)),
        )

    def target_at(self, seed: int) -> str:
        """The target's spec for one seed."""
        return self.target.replace("{seed}", str(seed))

    def data_folder(self, given: str | None) -> Path:
        """Where the archives are: what was given, else ``$TRANSFER_DATA``, else what the recipe says."""
        return Path(given or os.environ.get("TRANSFER_DATA") or self.data)


def transfer_step(
    options: Mapping[str, Any],
) -> tuple[type[FinetuneConfig] | type[FitClassifierConfig], dict[str, Any]]:
    """The configuration that the ``finetune`` options of a recipe belong to, and its options.

    A ``method`` other than full fits a classifier to frozen features.
    """
    if options.get("method", "full") == "full":
        return FinetuneConfig, {name: value for name, value in options.items() if name != "method"}
    return FitClassifierConfig, dict(options)
