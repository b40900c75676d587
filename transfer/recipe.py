"""The recipe: one YAML file that describes a whole experiment and is checked before any work is done.

An experiment asks which source classes a network should be pre-trained on before it is fine-tuned to the target. Every
arm is one answer. All arms share the budget and the seeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from features import ExtractConfig, open_dataset
from features.dataset import ImageDataset
from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import read_yaml
from features.infrastructure.names import fault_in_file_name
from features.infrastructure.options import MOST_CLASSES, Range, check_ranges
from features.infrastructure.storage.addresses import Location, is_address
from finetune import FinetuneConfig, FitClassifierConfig, PretrainConfig
from finetune.classifiers.second_stage import METHODS
from finetune.evaluation.class_matching import align_classes
from finetune.run_directory import FINE_TUNED
from similarity import DEFAULT_STRATEGY, STRATEGIES
from transfer.arm import SCRATCH, Arm
from transfer.command_line import from_mapping
from transfer.commands.rank import RankConfig
from transfer.commands.select import SelectConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole experiment.

    Attributes:
        name: Name of the experiment, and of the folder of its results.
        sources: Dataset specs of the sources; none if no arm chooses classes.
        target: Dataset spec of the target's training images. {seed} in it is replaced by the seed of each run, so that
            every seed draws its own images (digits:@train?per_class=2&seed={seed}) and selects for them.
        test: Dataset spec of the target's test images.
        classes: Source classes that an arm selects; by default those that transfer select chooses without a number.
        arms: Arm by name. The verdict is about the most accurate one, the chosen classes about the best that chooses.
        seeds: Seeds; every arm is pre-trained and fine-tuned once a seed.
        extract: Options of transfer extract.
        rank: Options of transfer rank.
        select: Options of transfer select.
        pretrain: Options of transfer pretrain.
        finetune: Options of transfer finetune, or, with a `method`, of transfer fit-classifier.
        banks: Feature banks (.h5) of some of these datasets that were extracted before, with the options of `extract`.
        archives: Tar files to unpack first; {data} in a spec is replaced by the folder that they are unpacked to.
        data: Folder of the archives, relative to the working directory, or its address.
    """

    name: str
    target: str
    test: str
    arms: dict[str, Any]
    classes: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    sources: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    extract: dict[str, Any] = field(default_factory=dict)
    rank: dict[str, Any] = field(default_factory=dict)
    select: dict[str, Any] = field(default_factory=dict)
    pretrain: dict[str, Any] = field(default_factory=dict)
    finetune: dict[str, Any] = field(default_factory=dict)
    banks: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    data: str = "data"

    def __post_init__(self) -> None:
        check_ranges(self)
        if fault := fault_in_file_name(self.name):
            raise InputError(f"`name` {self.name!r:.60}: {fault}; the results stand in a folder of this name")
        for name in self.archives:
            path = PurePosixPath(name)
            outside = ".." in path.parts or (path.is_absolute() and not is_address(name))
            if outside or "\0" in name or not path.name:
                raise InputError(f"`archives` {name!r:.60}: expected the name of a file in `data`")
        if odd := [
            name for name in self.arms if not isinstance(name, str) or not name.strip() or not name.isprintable()
        ]:
            raise InputError(
                f"`arms` {odd[0]!r:.60}: expected a name of letters, digits and signs; put quotes around it"
            )

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Read and check a recipe.

        Raises:
            InputError: The file cannot be read, or an option in it is wrong.
        """
        recipe = from_mapping(cls, read_yaml(path, "recipe") or {}, str(path))
        arms = {name: from_mapping(Arm, given or {}, f"{path}, arm {name}") for name, given in recipe.arms.items()}
        for name, arm in arms.items():
            if arm.strategy is None and arm.init is None and name != SCRATCH:
                raise InputError(
                    f"{path}, arm {name}: has neither `strategy` nor `init`; give one of them, or call the arm "
                    f"{SCRATCH} if it is to be trained on the target alone"
                )
        if not arms or not recipe.seeds:
            raise InputError(f"{path}: an experiment needs at least one arm and one seed")
        if len(set(recipe.seeds)) < len(recipe.seeds) or not 0 <= min(recipe.seeds) <= max(recipe.seeds) < 2**32:
            raise InputError(f"{path}: seeds {recipe.seeds}: expected different integers of at least 0 and below 2^32")
        recipe = replace(recipe, arms=arms)
        recipe._check_steps(str(path))
        return recipe

    def _check_steps(self, where: str) -> None:
        """Build the configuration of every step once, so that a wrong option is refused before any work."""
        ranking = {"target": "-", "source": ["-"], "explain": "-", "overwrite": True}
        self._check(where, "extract", ExtractConfig, {"dataset": self.target, "out": "-"})
        self._check(where, "rank", RankConfig, ranking)
        if self.sources:
            self._check_arm(where, Arm(strategy=DEFAULT_STRATEGY))
        for name, arm in self.arms.items():
            if arm.strategy is not None:
                if not self.sources:
                    raise InputError(f"{where}, arm {name}: strategy {arm.strategy} needs `sources` in the recipe")
                if arm.size(self.classes) == {} and not (row := STRATEGIES[arm.strategy]).takes_all | row.has_shares:
                    raise InputError(f"{where}, arm {name}: {row.without_shares()}; give `classes`")
            self._check_arm(f"{where}, arm {name}", arm)

    def _check_arm(self, where: str, arm: Arm) -> None:
        """Build the configurations of an arm's steps, with stand-ins for what other steps give."""
        sizes = {"classes": None, "drop": None, "coverage": None} | arm.size(self.classes)
        choosing = {"target": ["-"], "source": ["-"], "curve": None, "influence": None, "seed": 0, **sizes}
        choosing |= {"strategy": arm.strategy or DEFAULT_STRATEGY, "geometry": arm.geometry}
        self._check(where, "select", SelectConfig, choosing | {"out": "-", "overwrite": True})
        if self.select.get("images") is not None and (arm.how.of_all or arm.drop is not None):
            what = f"use {arm.use}" if arm.how.of_all else f"drop {arm.drop}"
            raise InputError(f"{where}: {what} has no budget of images; leave out images in select")
        training: dict[str, Any] = {"sources": self.sources, "subset": None, "out": "-", "seed": 0}
        training |= {"init": None, "class_weights": None, "floor": PretrainConfig.floor} | arm.pretraining("-")
        if arm.how.trainings > 1:
            training["init"] = "-"
        elif arm.init is not None:
            training |= {"backbone": arm.init, "weights": "default"}
        pretraining = self._check(where, "pretrain", PretrainConfig, training)
        if arm.how.halved and (pretraining.steps or 0) < 2:
            raise InputError(
                f"{where}: use {arm.use} halves the steps of pre-training; give at least 2 steps in pretrain"
            )
        if arm.how.trainings > 1 and pretraining.search and pretraining.validation is None:
            raise InputError(
                f"{where}, pretrain: search holds images out, which the first half of use {arm.use} is trained on; "
                f"give validation, a number of images of each class or a dataset spec, which keeps them out of both"
            )
        tuning: dict[str, Any] = {"dataset": self.target, "test": self.test, "init": "-", "weights": "none"}
        tuning |= {"out": "-", "seed": 0}
        options = self.tuning(arm)
        method = str(options.get("method"))
        if options.get("classifier") == "keep" or (method in METHODS and METHODS[method].keeps_classifier):
            keeping = [name for name, row in METHODS.items() if row.keeps_classifier]
            raise InputError(
                f"{where}, finetune: starts from the run's own classifier, whose classes are those of the source; "
                f"leave out classifier: keep, and methods {', '.join(keeping)}"
            )
        config_type = self.transfer_config(arm)
        if config_type is FinetuneConfig:
            tuning |= {"with_": None, "with_weight": FinetuneConfig.with_weight} | arm.tuning("SUBSET")
        elif arm.how.finetune_by is not None:
            raise InputError(
                f"{where}: use {arm.use} trains the network, and method {options['method']} fits a classifier "
                f"to frozen features; leave one out"
            )
        self._check(where, "finetune", config_type, tuning, options)

    def _check(
        self, where: str, step: str, config: type, fixed: Mapping[str, Any], options: Mapping[str, Any] | None = None
    ) -> Any:
        """Build the configuration of one step from ``fixed``, which the recipe sets itself, and its options."""
        given = {
            name.rstrip("_"): value for name, value in (getattr(self, step) if options is None else options).items()
        }
        own = {name.rstrip("_"): value for name, value in fixed.items()}
        if step == "pretrain" and "backbone" in own:  # an arm's own start takes the place of the recipe's
            given = {name: value for name, value in given.items() if name not in ("backbone", "weights")}
        if clash := [name for name in given if name in own]:
            raise InputError(f"{where}, {step}: {clash[0]} is set by the recipe itself; leave it out here")
        if step == "pretrain" and own["init"] is not None:  # what goes on has its network
            given = {name: value for name, value in given.items() if name not in ("backbone", "weights")}
        return from_mapping(config, {**own, **given}, f"{where}, {step}")

    def tuning(self, arm: Arm) -> dict[str, Any]:
        """The options of an arm's last step."""
        return dict(self.finetune if arm.finetune is None else arm.finetune)

    def transfer_config(self, arm: Arm) -> type[FinetuneConfig] | type[FitClassifierConfig]:
        """The configuration of an arm's last step; with a ``method`` it fits a classifier to frozen features."""
        tuned = self.tuning(arm).get("method", FINE_TUNED) == FINE_TUNED
        return FinetuneConfig if tuned else FitClassifierConfig

    def placed(self, data: Location) -> Recipe:
        """The recipe with ``{data}`` in its specs replaced by a folder."""

        def at(spec: str) -> str:
            return spec.replace("{data}", str(data))

        return replace(self, sources=list(map(at, self.sources)), target=at(self.target), test=at(self.test))

    def with_workers(self, workers: int) -> Recipe:
        """The recipe whose steps read images in so many processes, which makes no difference to their results."""
        given = {"workers": workers}
        arms = {name: replace(arm, finetune=arm.finetune and arm.finetune | given) for name, arm in self.arms.items()}
        steps = {step: getattr(self, step) | given for step in ("extract", "pretrain", "finetune")}
        return replace(self, arms=arms, **steps)

    def open_datasets(self, where: str) -> dict[str, ImageDataset]:
        """Open every dataset of a recipe whose archives are unpacked: spec → dataset, the targets of all seeds first.

        Raises:
            InputError: One cannot be read, or the test images have another class; it begins with ``where`` and the key.
        """
        targets = dict.fromkeys(map(self.target_at, self.seeds), "target")
        found: dict[str, ImageDataset] = {}
        for spec, key in (targets | dict.fromkeys(self.sources, "sources") | {self.test: "test"}).items():
            try:
                found[spec] = open_dataset(spec)
            except InputError as error:
                raise InputError(f"{where}, {key}: {error}") from error
        for spec in targets:
            try:
                align_classes(found[self.test], found[spec].classes, found[spec].numbers)
            except InputError as error:
                raise InputError(f"{where}, test: {error}") from error
        return found

    def target_at(self, seed: int) -> str:
        """The target's spec for one seed."""
        return self.target.replace("{seed}", str(seed))


@contextmanager
def keys_as_in_yaml() -> Iterator[None]:
    """Let messages name the keys of a recipe as they stand in YAML, not as options of the command line."""
    try:
        yield
    except InputError as error:
        raise InputError(re.sub(r"_?`", "", str(error))) from error
