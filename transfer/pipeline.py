"""The whole job: from a recipe to a report, with finished steps reused.

Every step is stored under a key of its inputs, so that a changed recipe or dataset makes a new step and never reuses
an old one.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features import ExtractConfig, FeatureBank, extract, open_dataset
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import write_sealed_json
from features.infrastructure.provenance import versions
from finetune import FinetuneConfig, PretrainConfig, finetune, fit_classifier, pretrain
from finetune.evaluation.class_matching import align_classes
from similarity import Subset
from transfer.arm_comparison import choosing_arm
from transfer.command_line import Config, from_mapping
from transfer.commands.rank import RankConfig, rank
from transfer.commands.report import ReportConfig, report
from transfer.commands.select import SelectConfig, select
from transfer.recipe import Arm, Recipe
from transfer.result_files import RESULT, read_ranking


@dataclass(frozen=True)
class Experiment:
    """The results of a recipe.

    Attributes:
        path: Their directory; its ``result.json`` holds ``content``.
        content: ``arms`` (mean and deviation over the runs), ``selected`` (the classes of the most accurate arm that
            chooses), ``domains``, ….
    """

    path: Path
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.content)


def run_recipe(recipe: Recipe, out: Path) -> Experiment:
    """Run a recipe whose archives are unpacked, and write ``result.json`` and the report to ``out``.

    Raises:
        InputError: A dataset cannot be read, or a choice is not possible.
    """
    started = time.perf_counter()
    steps = _Steps(recipe, out)
    targets = {spec: steps.bank(spec) for spec in steps.targets}
    sources = [steps.bank(spec) for spec in recipe.sources]
    first = targets[recipe.target_at(recipe.seeds[0])]
    domains = steps.ranking(first, sources) if sources else []
    # All choices are made before the first training, so that an impossible one costs nothing.
    subsets = {
        (name, seed): steps.subset(name, arm, targets[recipe.target_at(seed)], sources, seed)
        for name, arm in recipe.arms.items()
        for seed in recipe.seeds
    }
    arms: list[dict[str, Any]] = []
    selections: dict[str, list[dict[str, Any]]] = {}
    for name, arm in recipe.arms.items():
        runs = []
        for seed in recipe.seeds:
            subset = subsets[name, seed]
            if subset is not None:
                selections.setdefault(name, Subset.read(subset).to_json()["selected"])
            runs.append(steps.arm_run(name, arm, subset, seed))
        top1 = np.array([one["top1"] for one in runs])
        deviation = float(top1.std(ddof=1)) if len(top1) > 1 else None
        arms.append(
            {"arm": name, "top1_mean": float(top1.mean()), "top1_std": deviation, "runs": runs}
            | without_workers(asdict(arm))
        )
    shown = choosing_arm(arms, selections)
    content = {
        "name": recipe.name,
        "target": first.name,
        "selected": [] if shown is None else selections[shown],
        "arms": arms,
        "domains": domains,
        "selections": selections,
        "recipe": without_workers(asdict(recipe)),
        "banks": {bank.name: str(bank.path) for bank in (first, *sources)},
        "versions": versions(),
        "report": str(out / "report.html"),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_sealed_json(out / RESULT, content)
    report(ReportConfig(run=[str(out)]))
    return Experiment(out, content)


class _Steps:
    """The steps of one recipe, stored below one directory."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.targets = list(dict.fromkeys(recipe.target_at(seed) for seed in recipe.seeds))
        keys = dict.fromkeys(recipe.sources, "sources") | dict.fromkeys(self.targets, "target") | {recipe.test: "test"}
        opened = {}
        for spec, key in keys.items():
            try:
                opened[spec] = open_dataset(spec)
            except InputError as error:
                raise InputError(f"recipe {recipe.name}, {key}: {error}") from error
        for spec in self.targets:
            align_classes(opened[recipe.test], opened[spec].classes, opened[spec].numbers)
        self.given = {FeatureBank.open(path).name: path for path in recipe.banks}
        if unused := [path for name, path in self.given.items() if name not in opened]:
            raise InputError(f"recipe {recipe.name}, banks: {unused[0]} is of a dataset that the recipe does not name")
        self.manifests = {spec: dataset.manifest_sha256 for spec, dataset in opened.items()}
        trainings = sum(arm.how.trainings for arm in recipe.arms.values() if arm.strategy)
        self.total = len(self.targets) + len(recipe.sources) + len(recipe.seeds) * (len(recipe.arms) + trainings)
        self.done = 0

    def say(self, what: str) -> None:
        self.done += 1
        console.print(f"[{self.done}/{self.total}] {what}")

    def bank(self, spec: str) -> FeatureBank:
        """The feature bank of a dataset, extracted or reused."""
        self.say(f"features of {spec}")
        options, manifest = self.recipe.extract, self.manifests[spec]
        config = self._config(ExtractConfig, "banks/{}.h5", spec, options, manifest, dataset=spec)
        if spec in self.given:
            config = replace(config, out=self.given[spec], overwrite=False)
        return extract(config).bank

    def ranking(self, target: FeatureBank, sources: Sequence[FeatureBank]) -> list[dict[str, Any]]:
        """The source domains, nearest first, as they stand in a ranking's JSON; ranked or reused."""
        banks = {"target": str(target.path), "source": [str(bank.path) for bank in sources]}
        config = from_mapping(RankConfig, self.recipe.rank | banks, "rank")
        path = self.out / "rankings" / f"{_slug(target.name, asdict(config))}.json"
        if not path.is_file():
            found = rank(replace(config, explain=str(path.with_suffix(".csv")), overwrite=True))
            write_sealed_json(path, found.to_json())
        return read_ranking(path)

    def subset(self, name: str, arm: Arm, target: FeatureBank, sources: Sequence[FeatureBank], seed: int) -> str | None:
        """The subset file of an arm; None if the arm does not pre-train."""
        if arm.strategy is None:
            return None
        fields: dict[str, Any] = {
            "target": [str(target.path)],
            "source": [str(bank.path) for bank in sources],
            **arm.size(self.recipe.classes),
            "strategy": arm.strategy,
            "geometry": arm.geometry,
            "seed": seed,
        }
        fields |= self.recipe.select
        config = self._config(SelectConfig, "subsets/{}.csv", f"{name}-seed{seed}", fields, overwrite=True)
        try:
            select(config)
        except InputError as error:
            raise InputError(f"recipe {self.recipe.name}, arm {name}: {error}") from error
        return config.out

    def arm_run(self, name: str, arm: Arm, subset: str | None, seed: int) -> dict[str, Any]:
        """Pre-train if there is a subset, fine-tune and evaluate: the figures of the run, and its directory."""
        options, key = self.recipe.tuning(arm), []
        config_type = self.recipe.transfer_config(arm)
        if subset is not None:
            init, weights = self._pretrained(name, arm, subset, seed), "default"
            if arm.use == "co-trained":
                options |= {"with_": subset, "with_weight": arm.with_weight}
                key = _training_key(subset)
        elif arm.init is not None:
            init, weights = arm.init, "default"
            if config_type is FinetuneConfig and arm.finetune is None:
                options.setdefault("classifier", "new")  # all arms share the budget
        else:
            init, weights = self.recipe.pretrain.get("backbone", PretrainConfig.backbone), "none"
            if "image_size" in self.recipe.pretrain:
                options.setdefault("image_size", self.recipe.pretrain["image_size"])
        self.say(f"fine-tune, arm {name}, seed {seed}")
        target = self.recipe.target_at(seed)
        fixed = {"dataset": target, "test": self.recipe.test, "seed": seed, "init": init, "weights": weights}
        fields = fixed | options
        key += [self.manifests[target], self.manifests[self.recipe.test]]
        config = self._config(config_type, "finetune/{}", f"{name}-seed{seed}", fields, *key)
        result = finetune(config) if isinstance(config, FinetuneConfig) else fit_classifier(config)
        figures = {name: result.metrics[name] for name in ("top1", "top5", "macro", "images")}
        return {"seed": seed, "run": config.out, **figures}

    def _config(
        self, config_type: type[Config], place: str, name: str, fields: Mapping[str, Any], *key: Any, **fixed: Any
    ) -> Config:
        """The configuration of a step; the name of its output in ``place`` ends in a key of its fields and inputs."""
        out = str(self.out / place.format(_slug(name, without_workers(fields), *key)))
        return from_mapping(config_type, {**fields, **fixed, "out": out}, f"recipe {self.recipe.name}")

    def _pretrained(self, name: str, arm: Arm, subset: str, seed: int) -> str:
        """The run that an arm is fine-tuned from."""
        start = {} if arm.init is None else {"backbone": arm.init, "weights": "default"}
        if arm.use == "subset":
            return self._trained(name, subset, seed, subset=subset, **start)
        if arm.use == "weighted":
            return self._trained(name, subset, seed, class_weights=subset, floor=arm.floor, **start)
        steps = int(self.recipe.pretrain["steps"])
        half = self._trained("half-of-all", None, seed, steps=steps // 2, **start)
        if arm.use == "co-trained":
            return half
        return self._trained(name, subset, seed, subset=subset, init=half, steps=steps - steps // 2)

    def _trained(self, name: str, choice: str | None, seed: int, **options: Any) -> str:
        """The run of a pre-training that reads the subset file ``choice``, trained or reused."""
        self.say(f"pre-train, {name}, seed {seed}")
        fields = {"sources": self.recipe.sources, "seed": seed} | self.recipe.pretrain | options
        if "init" in options:
            fields = {option: value for option, value in fields.items() if option not in ("backbone", "weights")}
        key = [self.manifests[spec] for spec in self.recipe.sources]
        if choice is not None:
            key = _training_key(choice, weighted="class_weights" in options) + key
        config = self._config(PretrainConfig, "pretrain/{}", f"{name}-seed{seed}", fields, *key)
        return str(pretrain(config).run)


def _training_key(subset: str, weighted: bool = False) -> list[Any]:
    """What a training reads of a subset file: its classes in one order, and their weights where they are drawn by."""
    rows = Subset.read(subset).rows
    return [sorted((row.source, row.class_name, (row.weight or 0.0) if weighted else 0.0) for row in rows)]


def without_workers(value: Any) -> Any:
    """Options without the numbers of workers, which make no difference to a result, at any depth."""
    if isinstance(value, Mapping):
        return {name: without_workers(one) for name, one in value.items() if name != "workers"}
    return [without_workers(one) for one in value] if isinstance(value, (list, tuple)) else value


def _slug(name: str, *parts: Any) -> str:
    """A readable file name that ends in a key of the name and of ``parts``."""
    key = hashlib.sha256(json.dumps([name, *parts], sort_keys=True).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-60:]
    return f"{readable}-{key}"
