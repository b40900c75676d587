"""The steps of a recipe as configurations: what each does and where its result is stored. Nothing is run here.

Every step is stored under a key of its inputs, so that a changed recipe or dataset makes a new step and never reuses
an old one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features import ExtractConfig, FeatureBank
from features.extraction.options import DEFAULT_BACKBONE
from features.infrastructure.errors import InputError
from features.infrastructure.options import SAME_RESULT
from features.infrastructure.storage.addresses import located
from finetune import FinetuneConfig, FitClassifierConfig, PretrainConfig
from finetune.shared_options import resolve
from similarity import Subset
from similarity.selection.limits import check_classes, check_drop
from transfer.arm import Arm
from transfer.command_line import Config, from_mapping
from transfer.commands.select import SelectConfig
from transfer.recipe import Recipe

#: The pre-training on all classes for half of the steps, which arms share.
HALF = "half-of-all"
#: Files of steps below the directory of a recipe, finished or not; ``*`` is the readable part of a :func:`slug`.
_KEY = "[0-9a-f]" * 8
_OF_STEPS = tuple(
    f"{step}/*-{_KEY}{ending}"
    for step, ending in (("banks", ".h5*"), ("rankings", ".json"), ("pretrain", "/*.yaml"), ("finetune", "/*.yaml"))
)


class RecipeSteps:
    """The steps of a recipe whose archives are unpacked, stored below one directory.

    Attributes:
        recipe: The recipe.
        out: The directory.
        where: What messages begin with, such as the recipe's file.
        opened: Every dataset of the recipe, by its spec.
        targets: The specs of the targets, of each seed or of all together.
        given: Spec → bank that was extracted before.

    Raises:
        InputError: A dataset or a bank cannot be read, or the sources do not have the classes that an arm asks for.
    """

    def __init__(self, recipe: Recipe, out: Path, where: str) -> None:
        self.recipe, self.out, self.where = recipe, out, where
        self.targets = list(dict.fromkeys(recipe.target_at(seed) for seed in recipe.seeds))
        self.opened = recipe.open_datasets(where)
        self.given = {FeatureBank.open(path).name: path for path in recipe.banks}
        if unused := [path for name, path in self.given.items() if name not in self.opened]:
            raise InputError(f"{where}, banks: {unused[0]} is of a dataset that the recipe does not name")
        self._manifests = {spec: dataset.manifest_sha256 for spec, dataset in self.opened.items()}
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Compare the sizes of all choices with the classes of the sources, before a bank of them is extracted."""
        least = self.recipe.select.get("min_count", 0)
        available = sum(int((self.opened[spec].counts >= max(1, least)).sum()) for spec in self.recipe.sources)
        for name, arm in self.recipe.arms.items():
            sizes = arm.size(self.recipe.classes)
            try:
                if "classes" in sizes:
                    check_classes(sizes["classes"], available, self.recipe.target, least)
                if "drop" in sizes:
                    check_drop(sizes["drop"], available)
            except InputError as error:
                raise InputError(f"{self.where}, arm {name}: {error}") from error

    def bank(self, spec: str) -> ExtractConfig:
        """The extraction of a dataset; it is done already for a bank that was given."""
        place = {"out": self.given[spec], "overwrite": False} if spec in self.given else {}
        options, manifest = self.recipe.extract, self._manifests[spec]
        return self._config(ExtractConfig, "banks/{}.h5", spec, options, manifest, dataset=spec, **place)

    def subset(self, name: str, arm: Arm, seed: int) -> SelectConfig | None:
        """The choice of an arm, which writes its subset file; None if the arm does not choose."""
        if arm.strategy is None:
            return None
        target, *sources = (
            str(located(self.bank(spec).out)) for spec in (self.recipe.target_at(seed), *self.recipe.sources)
        )
        fields: dict[str, Any] = {
            "target": [target],
            "source": sources,
            **arm.size(self.recipe.classes),
            "strategy": arm.strategy,
            "geometry": arm.geometry,
            "seed": seed,
        }
        fields |= self.recipe.select
        return self._config(SelectConfig, "subsets/{}.csv", f"{name}-seed{seed}", fields, overwrite=True)

    def pretrainings(self, name: str, arm: Arm, subset: str, seed: int) -> list[tuple[str, PretrainConfig]]:
        """The pre-trainings of an arm in their order, each with its name; the last one is fine-tuned from.

        If the choice is not made yet, the place of one that reads it is none that is written to.
        """
        start: dict[str, Any] = {} if arm.init is None else {"backbone": arm.init, "weights": "default"}
        options, before = arm.pretraining(subset), []
        if arm.how.halved:
            steps = int(self.recipe.pretrain["steps"])
            before = [self._pretraining(HALF, None, seed, steps=steps // 2, **start)]
            start = {"init": before[0][1].out, "steps": steps - steps // 2} | _rates_after(before[0][1])
        return [*before, *([self._pretraining(name, subset, seed, **options, **start)] if options else [])]

    def _pretraining(self, name: str, choice: str | None, seed: int, **options: Any) -> tuple[str, PretrainConfig]:
        """A pre-training that reads the subset file ``choice``."""
        fields = {"sources": self.recipe.sources, "seed": seed} | self.recipe.pretrain | options
        if "init" in options:
            fields = {option: value for option, value in fields.items() if option not in ("backbone", "weights")}
        key = [self._manifests[spec] for spec in self.recipe.sources]
        if choice is not None:
            key = _training_key(choice, weighted="class_weights" in options) + key
        return name, self._config(PretrainConfig, "pretrain/{}", f"{name}-seed{seed}", fields, *key)

    def last(
        self, name: str, arm: Arm, subset: str | None, pretrained: str | None, seed: int
    ) -> FinetuneConfig | FitClassifierConfig:
        """The last step of an arm, from its run of pre-training if it has one, with the evaluation."""
        options, key = self.recipe.tuning(arm), list[Any]()
        config_type = self.recipe.transfer_config(arm)
        if subset is not None and pretrained is not None:
            init, weights = pretrained, "default"
            if reading := arm.tuning(subset):
                options |= reading
                key = _training_key(subset)
        elif arm.init is not None:
            init, weights = arm.init, "default"
            if config_type is FinetuneConfig and arm.finetune is None:
                options.setdefault("classifier", "new")  # all arms share the budget
        else:
            init, weights = self.recipe.pretrain.get("backbone", DEFAULT_BACKBONE), "none"
            if "image_size" in self.recipe.pretrain:
                options.setdefault("image_size", self.recipe.pretrain["image_size"])
        target = self.recipe.target_at(seed)
        fixed = {"dataset": target, "test": self.recipe.test, "seed": seed, "init": init, "weights": weights}
        key += [self._manifests[target], self._manifests[self.recipe.test]]
        return self._config(config_type, "finetune/{}", f"{name}-seed{seed}", fixed | options, *key)

    def _config(
        self, config_type: type[Config], place: str, name: str, fields: Mapping[str, Any], *key: Any, **fixed: Any
    ) -> Config:
        """The configuration of a step; the name of its output in ``place`` ends in a key of its fields and inputs."""
        out = str(self.out / place.format(slug(name, without_immaterial(fields), *key)))
        return from_mapping(config_type, {**fields, "out": out, **fixed}, self.where)


def _rates_after(half: PretrainConfig) -> dict[str, float]:
    """The rates of a second half: those of a training from a published model, where the first half starts from one."""
    if not half.published:
        return {}
    complete, _ = resolve(half)
    assert complete.lr is not None and complete.weight_decay is not None  # the configuration is complete
    return {"lr": complete.lr, "weight_decay": complete.weight_decay}


def _training_key(subset: str, weighted: bool = False) -> list[Any]:
    """What a training reads of a subset file: its classes in one order, and their weights where they are drawn by."""
    if not Path(subset).is_file():
        return [subset]
    rows = Subset.read(subset).rows
    return [sorted((row.source, row.class_name, (row.weight or 0.0) if weighted else 0.0) for row in rows)]


def without_immaterial(value: Any) -> Any:
    """Options without those that make no difference to a result, at any depth."""
    if isinstance(value, Mapping):
        return {name: without_immaterial(one) for name, one in value.items() if name not in SAME_RESULT}
    return [without_immaterial(one) for one in value] if isinstance(value, (list, tuple)) else value


def slug(name: str, *parts: Any) -> str:
    """A readable file name that ends in a key of the name and of ``parts``."""
    key = hashlib.sha256(json.dumps([name, *parts], sort_keys=True).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-60:]
    return f"{readable}-{key}"


def holds_steps(directory: Path) -> bool:
    """Whether a directory holds steps of a recipe, such as banks and runs."""
    return any(True for pattern in _OF_STEPS for _ in directory.glob(pattern))
