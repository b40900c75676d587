"""The whole job: from a recipe to a report, with finished steps reused."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features import FeatureBank, extract
from features.infrastructure.console import console, repetitions_left_out
from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import write_sealed_json
from features.infrastructure.provenance import versions
from finetune import FinetuneConfig, finetune, fit_classifier, pretrain
from similarity import Subset
from transfer.arm import Arm
from transfer.arm_comparison import choosing_arm
from transfer.command_line import from_mapping
from transfer.commands.rank import RankConfig, rank
from transfer.commands.report import ReportConfig, report
from transfer.commands.select import select
from transfer.recipe import Recipe
from transfer.recipe_steps import RecipeSteps, slug, without_immaterial
from transfer.result_files import RESULT, read_ranking


@dataclass(frozen=True)
class Experiment:
    """The results of a recipe.

    Attributes:
        path: Their directory; its ``result.json`` holds ``content``.
        content: ``arms`` (mean and deviation over the runs), ``selected`` (the classes of the most accurate arm that
            chooses), ``domains``, ``seconds`` of this call and ``steps_before``, the number of extractions and
            trainings that were finished before it, ….
    """

    path: Path
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.content)


def run_recipe(recipe: Recipe, out: Path, where: str | None = None) -> Experiment:
    """Run a recipe whose archives are unpacked, and write ``result.json`` and the report to ``out``.

    Messages begin with ``where``, the recipe's file; by default with its name.

    Raises:
        InputError: A dataset cannot be read, or a choice is not possible.
    """
    with repetitions_left_out():
        return _run(recipe, out, where or f"recipe {recipe.name}")


def _run(recipe: Recipe, out: Path, where: str) -> Experiment:
    started = time.perf_counter()
    job = _Job(RecipeSteps(recipe, out, where))
    targets = {spec: job.bank(spec) for spec in job.steps.targets}
    sources = [job.bank(spec) for spec in recipe.sources]
    first = targets[recipe.target_at(recipe.seeds[0])]
    domains = job.ranking(first, sources) if sources else []
    # All choices are made before the first training, so that an impossible one costs nothing.
    subsets = {(name, seed): job.subset(name, arm, seed) for name, arm in recipe.arms.items() for seed in recipe.seeds}
    arms: list[dict[str, Any]] = []
    selections: dict[str, list[dict[str, Any]]] = {}
    for name, arm in recipe.arms.items():
        runs = []
        for seed in recipe.seeds:
            subset = subsets[name, seed]
            if subset is not None:
                selections.setdefault(name, Subset.read(subset).to_json()["selected"])
            runs.append(job.arm_run(name, arm, subset, seed))
        top1 = np.array([one["top1"] for one in runs])
        deviation = float(top1.std(ddof=1)) if len(top1) > 1 else None
        arms.append(
            {"arm": name, "top1_mean": float(top1.mean()), "top1_std": deviation, "runs": runs}
            | without_immaterial(asdict(arm))
        )
    shown = choosing_arm(arms, selections)
    content = {
        "name": recipe.name,
        "target": first.name,
        "selected": [] if shown is None else selections[shown],
        "arms": arms,
        "domains": domains,
        "selections": selections,
        "recipe": without_immaterial(asdict(recipe)),
        "banks": {bank.name: str(bank.path) for bank in (first, *sources)},
        "versions": versions(),
        "report": str(out / "report.html"),
        "seconds": round(time.perf_counter() - started, 1),
        "steps_before": len(job.before),
    }
    write_sealed_json(out / RESULT, content)
    report(ReportConfig(run=[str(out)]))
    return Experiment(out, content)


class _Job:
    """The steps of one recipe, done or reused one after the other.

    Attributes:
        before: Where the extractions and trainings are that were finished before.
    """

    def __init__(self, steps: RecipeSteps) -> None:
        self.steps = steps
        recipe = steps.recipe
        trainings = sum(arm.how.trainings for arm in recipe.arms.values() if arm.strategy)
        self.total = len(steps.targets) + len(recipe.sources) + len(recipe.seeds) * (len(recipe.arms) + trainings)
        self.done = 0
        self.before: set[str] = set()
        self._made: set[str] = set()

    def note(self, out: str, reused: bool) -> None:
        """Tell steps that were finished before from those of this call, which arms may share."""
        if not reused:
            self._made.add(out)
        elif out not in self._made:
            self.before.add(out)

    def say(self, what: str) -> None:
        self.done += 1
        console.print(f"[{self.done}/{self.total}] {what}")

    def bank(self, spec: str) -> FeatureBank:
        """The feature bank of a dataset, extracted or reused."""
        self.say(f"features of {spec}")
        config = self.steps.bank(spec)
        found = extract(config)
        self.note(config.out, found.reused)
        return found.bank

    def ranking(self, target: FeatureBank, sources: Sequence[FeatureBank]) -> list[dict[str, Any]]:
        """The source domains, nearest first, as they stand in a ranking's JSON; ranked or reused."""
        banks = {"target": str(target.path), "source": [str(bank.path) for bank in sources]}
        config = from_mapping(RankConfig, self.steps.recipe.rank | banks, "rank")
        # A bank that was made anew of other images may have the same path.
        key = [hashlib.sha256(bank.means.tobytes()).hexdigest() for bank in (target, *sources)]
        path = self.steps.out / "rankings" / f"{slug(target.name, asdict(config), key)}.json"
        if not path.is_file():
            found = rank(replace(config, explain=str(path.with_suffix(".csv")), overwrite=True))
            write_sealed_json(path, found.to_json())
        return read_ranking(path)

    def subset(self, name: str, arm: Arm, seed: int) -> str | None:
        """The subset file of an arm; None if the arm does not pre-train."""
        config = self.steps.subset(name, arm, seed)
        if config is None:
            return None
        try:
            select(config)
        except InputError as error:
            raise InputError(f"{self.steps.where}, arm {name}: {error}") from error
        return config.out

    def arm_run(self, name: str, arm: Arm, subset: str | None, seed: int) -> dict[str, Any]:
        """Pre-train if there is a subset, fine-tune and evaluate: the figures of the run, and its directory."""
        pretrained: str | None = None
        for which, training in () if subset is None else self.steps.pretrainings(name, arm, subset, seed):
            self.say(f"pre-train, {which}, seed {seed}")
            trained = pretrain(training)
            self.note(training.out, trained.reused)
            pretrained = str(trained.run)
        self.say(f"fine-tune, arm {name}, seed {seed}")
        config = self.steps.last(name, arm, subset, pretrained, seed)
        result = finetune(config) if isinstance(config, FinetuneConfig) else fit_classifier(config)
        self.note(config.out, result.reused)
        figures = {name: result.metrics[name] for name in ("top1", "top5", "macro", "images")}
        return {"seed": seed, "run": config.out, **figures}
