"""The recipe: one YAML file that describes a whole experiment and is checked before any work is done.

An experiment asks which source classes a network should be pre-trained on before it is fine-tuned to the target. Every
arm is one answer. All arms share the budget and the seeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from features import ExtractConfig, open_dataset
from features.dataset import ImageDataset
from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import read_yaml
from features.infrastructure.names import fault_in_file_name
from features.infrastructure.options import MOST_CLASSES, Range, check_ranges
from features.infrastructure.storage.addresses import Location, is_address
from features.infrastructure.suggestions import choice
from finetune import FinetuneConfig, FitClassifierConfig, PretrainConfig
from finetune.classifiers.second_stage import METHODS
from finetune.evaluation.class_matching import align_classes
from finetune.run_directory import FINE_TUNED
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, GEOMETRIES, STRATEGIES
from similarity.selection.strategy import with_shares
from transfer.command_line import from_mapping
from transfer.commands.rank import RankConfig
from transfer.commands.select import SelectConfig
from transfer.uses import USES, Use

#: Name of the arm that is trained on the target alone: the only one whose options may be empty.
SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One answer to the question of an experiment.

    An arm makes use of classes chosen by its strategy, or starts from a published backbone, or both: the published
    backbone is trained on the choice before it is fine-tuned. With neither, the target alone is trained on.

    Attributes:
        strategy: How source classes are chosen; None for no source.
        use: What is done with the choice; see transfer inspect uses.
        geometry: Ground metric of the choice.
        classes: Classes to choose, instead of the recipe's number.
        drop: Classes to leave out, instead of a number to choose.
        floor: With use weighted, share of the images that are drawn from all classes whatever their weight.
        with_weight: With use co-trained, λ of the loss L = L_target + λ·L_source.
        init: The backbone to start from with its published weights: to fine-tune, or first to pre-train on the choice.
        finetune: Options of the last step for this arm, in place of the recipe's `finetune`.
    """

    strategy: str | None = None
    use: str = "subset"
    geometry: str = DEFAULT_GEOMETRY
    classes: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    drop: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    floor: Annotated[float, Range(0, 1, below=True)] = PretrainConfig.floor
    with_weight: Annotated[float, Range(0, above=True)] = FinetuneConfig.with_weight
    init: str | None = None
    finetune: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.strategy is not None:
            STRATEGIES.find(self.strategy)
        GEOMETRIES.find(self.geometry)
        if self.use not in USES:
            raise InputError(f"`use` {self.use}: there is no such use; {choice(self.use, USES)}")
        faults = [*self._without_effect(), *self._size_faults()]
        if faults:
            raise InputError("; ".join(faults))

    @property
    def how(self) -> Use:
        """The row of the use."""
        return USES[self.use]

    def _without_effect(self) -> Iterator[str]:
        """One sentence for each option that this arm does not read."""
        readers = {option: use.name for use in USES.values() for option in use.options - self.how.options}
        for name in (*readers, "use", "drop"):
            value = getattr(self, name)
            if value == getattr(Arm, name):
                continue
            if name in readers:
                yield f"`{name}` {value}: is for `use` {readers[name]}; leave it out"
            elif self.strategy is None:
                yield f"`{name}` {value}: is for an arm that chooses; give it a `strategy`, such as {DEFAULT_STRATEGY}"

    def _size_faults(self) -> Iterator[str]:
        """One sentence for each size of the choice that does not fit."""
        sizes = [name for name in ("classes", "drop") if getattr(self, name) is not None]
        if len(sizes) > 1:
            yield "`classes` and `drop` both set the size of the choice: give one"
        if self.strategy is None:
            return
        row = STRATEGIES[self.strategy]
        if sizes and self.how.of_all:
            yield f"`{sizes[0]}`: is not for `use` {self.use}, which draws from all classes; leave it out"
        elif sizes and row.takes_all:
            yield f"`{sizes[0]}`: `strategy` {row.name} takes every class; leave it out"
        if self.how.of_all and not row.has_shares:
            yield f"`use` {self.use}: {row.without_shares()}; give one of the strategies {with_shares()}"

    def size(self, classes: int | None) -> dict[str, Any]:
        """Options of transfer select for the size of the choice; ``classes`` is the recipe's number, if it has one."""
        if self.strategy is None or STRATEGIES[self.strategy].takes_all:
            return {}
        if self.how.of_all:
            return {"coverage": 1.0}
        if self.drop is not None:
            return {"drop": self.drop}
        number = self.classes or classes
        return {} if number is None else {"classes": number}

    def describe(self, classes: int | None) -> str:
        """What an arm pre-trains on, in a few words; ``classes`` is the recipe's number of them, if it has one."""
        if self.strategy is None:
            return f"none: {self.init} as published" if self.init else "none: from scratch"
        row = STRATEGIES[self.strategy]
        number = self.classes or classes or "as many as serve it" if self.drop is None else f"all but {self.drop}"
        chosen = row.describe(number, self.geometry)
        described = self.how.phrase.format(chosen=chosen, name=row.name, geometry=self.geometry)
        return f"{described}; from {self.init} as published" if self.init else described


def arm_of(given: Mapping[str, Any]) -> Arm:
    """An arm of a recipe as it was run; earlier versions had fewer options. Raises ``InputError`` for a wrong value."""
    return from_mapping(Arm, {option.name: given[option.name] for option in fields(Arm) if option.name in given}, "arm")


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
        training: dict[str, Any] = {"sources": self.sources, "subset": "-", "out": "-", "seed": 0}
        training |= {"init": None, "class_weights": None, "floor": PretrainConfig.floor}
        if arm.use == "continued":
            training["init"] = "-"
        elif arm.init is not None:
            training |= {"backbone": arm.init, "weights": "default"}
        if arm.use == "weighted":
            training |= {"class_weights": "-", "floor": arm.floor}
        pretraining = self._check(where, "pretrain", PretrainConfig, training)
        if arm.how.halved and (pretraining.steps or 0) < 2:
            raise InputError(
                f"{where}: use {arm.use} halves the steps of pre-training; give at least 2 steps in pretrain"
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
            together = arm.use == "co-trained"
            tuning |= {"with_": "SUBSET" if together else None, "with_weight": arm.with_weight}
        elif arm.use == "co-trained":
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
