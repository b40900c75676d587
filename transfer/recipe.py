"""The recipe: one YAML file that describes a whole experiment and is checked before any work is done.

An experiment asks which source classes a network should be pre-trained on before it is fine-tuned to the target. Every
arm is one answer. All arms share the budget and the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from features.extraction.extractor import ExtractConfig
from features.infrastructure.errors import InputError
from features.infrastructure.options import Range, check_ranges
from finetune.classifier_fitting import FitClassifierConfig
from finetune.classifiers.second_stage import METHODS
from finetune.finetuning import FinetuneConfig
from finetune.pretraining import PretrainConfig
from finetune.run_directory import FINE_TUNED
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, GEOMETRIES, STRATEGIES
from transfer.command_line import from_mapping, read_yaml
from transfer.commands.rank import RankConfig
from transfer.commands.select import SelectConfig

#: Name of the arm that is trained on the target alone: the only one whose options may be empty.
SCRATCH = "scratch"


#: What is done with the classes that an arm chooses.
Use = Literal["subset", "continued", "weighed", "co-trained"]
#: Uses whose first half of the pre-training is on all classes.
HALVED: tuple[Use, ...] = ("continued", "co-trained")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One answer to the question of an experiment.

    An arm makes use of classes chosen by its strategy, or starts from a published backbone, or, with neither, is
    trained on the target from scratch.

    Attributes:
        strategy: How source classes are chosen; None for no source.
        use: What is done with the choice, for as many steps of pre-training in every arm. subset: pre-train on it.
            continued: pre-train on all classes for half of the steps, then on it. weighed: pre-train on all classes,
            drawn by how much of the target each serves. co-trained: pre-train on all classes for half of the steps,
            then fine-tune to the target and to it together.
        geometry: Ground metric of the choice.
        classes: Classes to choose, instead of the recipe's number.
        drop: Classes to leave out, instead of a number to choose.
        floor: With use weighed, share of the images that are drawn from all classes whatever their weight.
        with_weight: With use co-trained, λ of the loss L = L_target + λ·L_source.
        init: The backbone to fine-tune from with its published weights, instead of pre-training.
    """

    strategy: str | None = None
    use: Use = "subset"
    geometry: str = DEFAULT_GEOMETRY
    classes: Annotated[int, Range(1)] | None = None
    drop: Annotated[int, Range(1)] | None = None
    floor: Annotated[float, Range(0, 1)] = PretrainConfig.floor
    with_weight: Annotated[float, Range(0)] = FinetuneConfig.with_weight
    init: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.strategy is not None:
            STRATEGIES.find(self.strategy)
        GEOMETRIES.find(self.geometry)
        if self.strategy is not None and self.init is not None:
            raise InputError(
                "an arm either selects classes to pre-train on (`strategy`) or starts from `init`, not both"
            )
        if self.strategy is None:
            for name in ("use", "drop"):
                if getattr(self, name) != getattr(Arm, name):
                    raise InputError(f"`{name}` {getattr(self, name)}: is for an arm that chooses by a `strategy`")
        for name, use in {"floor": "weighed", "with_weight": "co-trained"}.items():
            if self.use != use and getattr(self, name) != getattr(Arm, name):
                raise InputError(f"`{name}` {getattr(self, name)}: is for `use` {use}; leave it out")
        sizes = [name for name in ("classes", "drop") if getattr(self, name) is not None]
        if self.use == "weighed" and sizes:
            raise InputError(f"`{sizes[0]}`: is not for `use` weighed, which draws from all classes; leave it out")
        if self.use == "weighed" and self.strategy is not None and not STRATEGIES[self.strategy].has_shares:
            able = ", ".join(name for name, row in STRATEGIES.items() if row.has_shares)
            raise InputError(
                f"`use` weighed: `strategy` {self.strategy} does not tell how much of the target a class serves; give "
                f"one of {able}"
            )
        if len(sizes) == 2:
            raise InputError("`classes` and `drop` both set the size of the choice: give one")

    def size(self, classes: int) -> dict[str, Any]:
        """Options of transfer select for the size of the choice; ``classes`` is the recipe's number."""
        if self.strategy is None or STRATEGIES[self.strategy].takes_all:
            return {}
        if self.use == "weighed":
            return {"coverage": 1.0}
        return {"classes": self.classes or classes} if self.drop is None else {"drop": self.drop}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole experiment.

    Attributes:
        name: Name of the experiment.
        sources: Dataset specs of the sources.
        target: Dataset spec of the target's training images. {seed} in it is replaced by the seed of each run, so that
            every seed draws its own images (digits:@train?per_class=2&seed={seed}) and selects for them.
        test: Dataset spec of the target's test images.
        classes: Source classes that an arm selects.
        arms: Arm by name; the last one is the one that the experiment is about.
        seeds: Seeds; every arm is pre-trained and fine-tuned once a seed.
        extract: Options of transfer extract.
        rank: Options of transfer rank.
        select: Options of transfer select.
        pretrain: Options of transfer pretrain.
        finetune: Options of transfer finetune, or, with a `method`, of transfer fit-classifier.
        archives: Tar files to unpack first; {data} in a spec is replaced by the folder that they are unpacked to.
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
        arms = {name: from_mapping(Arm, given or {}, f"{path}, arm {name}") for name, given in recipe.arms.items()}
        for name, arm in arms.items():
            if arm.strategy is None and arm.init is None and name != SCRATCH:
                raise InputError(
                    f"{path}, arm {name}: has neither `strategy` nor `init`; give one of them, or call the arm "
                    f"{SCRATCH} if it is to be trained on the target alone"
                )
        if not arms or not recipe.seeds:
            raise InputError(f"{path}: an experiment needs at least one arm and one seed")
        if len(set(recipe.seeds)) < len(recipe.seeds) or min(recipe.seeds) < 0:
            raise InputError(f"{path}: seeds {recipe.seeds}: expected different integers of at least 0")
        recipe = replace(recipe, arms=arms)
        recipe._check_steps(str(path))
        return recipe

    def _check_steps(self, where: str) -> None:
        """Build the configuration of every step once, so that a wrong option is refused before any work."""
        keeping = [name for name, row in METHODS.items() if row.keeps_classifier]
        if self.finetune.get("classifier") == "keep" or self.finetune.get("method") in keeping:
            raise InputError(
                f"{where}, finetune: starts from the run's own classifier, whose classes are those of the source; "
                f"leave out classifier: keep, and methods {', '.join(keeping)}"
            )
        co_trained = [name for name, arm in self.arms.items() if arm.use == "co-trained"]
        if co_trained and self.transfer_config is not FinetuneConfig:
            raise InputError(
                f"{where}, arm {co_trained[0]}: use co-trained trains the network, and method "
                f"{self.finetune['method']} fits a classifier to frozen features; leave one out"
            )
        choice_of_arm = {"strategy": DEFAULT_STRATEGY, "geometry": DEFAULT_GEOMETRY, "seed": 0}
        choice_of_arm |= {"classes": self.classes, "drop": None, "coverage": None}
        training = {"subset": "-", "class_weights": None, "floor": PretrainConfig.floor, "init": None}
        beside = {"with_": None, "with_weight": FinetuneConfig.with_weight}
        files = {"out": "-", "overwrite": True}
        steps: tuple[tuple[str, type, Mapping[str, Any]], ...] = (
            ("extract", ExtractConfig, {"dataset": self.target, "out": "-"}),
            ("rank", RankConfig, {"target": "-", "source": ["-"], "explain": "-", "overwrite": True}),
            ("select", SelectConfig, {"target": ["-"], "source": ["-"], "curve": None, **files, **choice_of_arm}),
            ("pretrain", PretrainConfig, {"sources": self.sources, "out": "-", "seed": 0} | training),
            (
                "finetune",
                self.transfer_config,
                {"dataset": self.target, "test": self.test, "init": "-", "weights": "none", "out": "-", "seed": 0}
                | (beside if self.transfer_config is FinetuneConfig else {}),
            ),
        )
        for step, config, fixed in steps:
            given = getattr(self, step)
            if clash := [name for name in given if name in fixed]:
                raise InputError(f"{where}, {step}: {clash[0]} is set by the recipe itself; leave it out here")
            built: Any = from_mapping(config, {**fixed, **given}, f"{where}, {step}")
            if isinstance(built, PretrainConfig):
                self._check_halves(built, where)

    def _check_halves(self, pretraining: PretrainConfig, where: str) -> None:
        """Raise ``InputError`` if an arm halves a pre-training that has no number of steps."""
        for name, arm in self.arms.items():
            if arm.use in HALVED and (pretraining.steps or 0) < 2:
                raise InputError(
                    f"{where}, arm {name}: use {arm.use} halves the steps of pre-training; give at least 2 steps in "
                    f"pretrain"
                )

    @property
    def transfer_config(self) -> type[FinetuneConfig] | type[FitClassifierConfig]:
        """The configuration of the last step; with a ``method`` it fits a classifier to frozen features."""
        tuned = self.finetune.get("method", FINE_TUNED) == FINE_TUNED
        return FinetuneConfig if tuned else FitClassifierConfig

    def placed(self, data: Path) -> Recipe:
        """The recipe with ``{data}`` in its specs replaced by a folder."""

        def at(spec: str) -> str:
            return spec.replace("{data}", str(data))

        return replace(self, sources=list(map(at, self.sources)), target=at(self.target), test=at(self.test))

    def target_at(self, seed: int) -> str:
        """The target's spec for one seed."""
        return self.target.replace("{seed}", str(seed))
