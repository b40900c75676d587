"""``--dry-run``: what a command that takes long would read, compute and write, and how long it would take here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features import ExtractConfig, open_dataset
from features.backbones.loading import Backbone, load_backbone
from features.dataset import ImageDataset
from features.extraction.class_means import class_means_of
from features.extraction.options import DEFAULT_BACKBONE
from features.infrastructure.errors import InputError, as_typed
from features.precomputed.rows import FeatureRows
from finetune import FinetuneConfig, FitClassifierConfig, PretrainConfig
from finetune.shared_options import resolve, training_config
from finetune.source_classes import open_sources
from finetune.training.batches import batches_an_epoch
from transfer.commands.demo import RECIPE, DemoConfig
from transfer.commands.run import RunConfig
from transfer.commands.trial import TrialConfig
from transfer.rates import measure_rates
from transfer.recipe import Recipe
from transfer.trial.photographs import read_photographs
from transfer.trial.plan import BATCH, images_a_class, make_plan
from transfer.trial.preparing import photographs_a_class
from transfer.trial.trying import directory_of, sources_of


@dataclass(frozen=True)
class Foresight:
    """What a command would do.

    Attributes:
        reads: The datasets, in a line each.
        computes: The steps, in a line each.
        writes: The file or the directory.
        exists: Whether something stands there, which is reused or resumed if it is the same.
        seconds: Expected time, by rates that were measured on some of the images; None if none of the work is known.
    """

    reads: tuple[str, ...]
    computes: tuple[str, ...]
    writes: str
    exists: bool
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The same for the screen."""
        found = [f"would read:    {line}" for line in self.reads] + [f"would compute: {line}" for line in self.computes]
        there = " (something stands there: it is reused or resumed if it is the same)" if self.exists else ""
        found.append(f"would write:   {self.writes}{there}")
        if self.seconds is not None:
            found.append(f"would take:    about {_duration(self.seconds)}, by what this machine did just now")
        return found


def foresee(config: Any) -> Foresight:
    """Foresee a command from its configuration; nothing is written.

    Raises:
        InputError: The command has no dry run, or would refuse its input.
    """
    if type(config) not in _KINDS:
        raise InputError("`dry_run`: this command takes little time; leave it out")
    return _KINDS[type(config)](config)


def _extraction(config: ExtractConfig) -> Foresight:
    means = class_means_of(config.dataset)
    if means is not None:
        reads = f"{len(means.classes):,} class means: {means.name}"
        return Foresight((reads,), ("nothing: a bank of these means",), config.out, Path(config.out).exists(), None)
    dataset = open_dataset(config.dataset, images=False)
    if isinstance(dataset.source, FeatureRows):
        return _foresight([dataset], ["class statistics of features that are computed already"], config.out, None)
    name = DEFAULT_BACKBONE if config.backbone is None else config.backbone
    backbone = load_backbone(name, config.weights, config.image_size, seed=config.seed)
    number, total = map(int, config.shard.split("/")) if config.shard else (1, 1)
    images = len(dataset) * number // total - len(dataset) * (number - 1) // total
    rate = measure_rates(backbone, dataset, config, training=False).features
    computes = f"features of {images:,} images by {_network(backbone)}, {rate:,.0f}/s"
    return _foresight([dataset], [computes], config.out, images / rate)


def _training(config: FinetuneConfig | PretrainConfig | FitClassifierConfig) -> Foresight:
    config, _ = resolve(config)
    if isinstance(config, PretrainConfig):
        dataset, init = open_sources(config.sources, config.subset).images, config.init or config.backbone
    else:
        dataset, init = open_dataset(config.dataset), config.init
    test = [open_dataset(config.test)] if config.test else []
    backbone = load_backbone(init, config.weights or "default", config.image_size, config.crop_pct, seed=config.seed)
    rates = measure_rates(backbone, dataset, config, training=not isinstance(config, FitClassifierConfig))
    seconds = sum(map(len, test)) / rates.features
    if isinstance(config, FitClassifierConfig):
        computes = f"features by {_network(backbone)}, {rates.features:,.0f}/s, and a classifier by {config.method}"
        return _foresight([dataset, *test], [computes], config.out, seconds + len(dataset) / rates.features)
    complete = training_config(config)
    images = config.images_per_step
    steps = complete.steps or (complete.epochs or 0) * batches_an_epoch(len(dataset), images)
    computes = f"{steps:,} steps of {images} images, {_network(backbone)}, {rates.training:,.1f} images/s"
    beside = [name for name in ("search", "with_", "validation") if getattr(config, name, None)]
    more = [f"what `{name.rstrip('_')}` adds, which is not in the time" for name in beside]
    seconds += steps * images / rates.training
    return _foresight([dataset, *test], [computes, *map(as_typed, more)], config.out, seconds)


def _recipe(config: RunConfig) -> Foresight:
    recipe = Recipe.read(config.recipe)
    if recipe.archives:
        raise InputError(f"{config.recipe}: its archives are not unpacked, so that nothing is known of its images")
    targets = list(dict.fromkeys(recipe.target_at(seed) for seed in recipe.seeds))
    datasets = [open_dataset(spec) for spec in (*targets, *recipe.sources)]
    pretrainings = sum(arm.how.trainings for arm in recipe.arms.values() if arm.strategy) * len(recipe.seeds)
    computes = [
        f"features of {sum(map(len, datasets)):,} images by {recipe.extract.get('backbone', DEFAULT_BACKBONE)}",
        f"{pretrainings} pre-trainings, some of which arms share",
        f"{len(recipe.arms) * len(recipe.seeds)} fine-tunings: {', '.join(recipe.arms)}; seeds {recipe.seeds}",
    ]
    return _foresight([*datasets, open_dataset(recipe.test)], computes, config.out or f"runs/{recipe.name}", None)


def _demo(config: DemoConfig) -> Foresight:
    return _recipe(RunConfig(recipe=str(RECIPE), out=config.out))


def _trial(config: TrialConfig) -> Foresight:
    given = read_photographs(config.photographs, config.test)
    whole, test = open_dataset(given.whole), [] if given.test is None else [open_dataset(given.test)]
    banks, sources = sources_of(config)
    opened = [open_dataset(spec) for spec in (*sources, *banks)]
    backbone = load_backbone(config.model[0])
    rates, seconds = measure_rates(backbone, whole, config), 60 * config.minutes
    photographs = _within(whole, photographs_a_class(whole, rates, seconds))
    held = sum(map(len, test)) or round(config.holdout * photographs)
    train = photographs if test else photographs - held
    share = seconds / max(1, len(opened))
    seen = [_within(one, images_a_class(len(one), len(one.classes), rates, share)) for one in opened[: len(sources)]]
    whole_banks = sum(map(len, opened[len(sources) :]))
    spent = (photographs + sum(map(len, test)) + sum(seen)) / rates.features
    plan = make_plan(train, held, sum(seen) + whole_banks if opened else None, rates, seconds, spent)
    computes = [
        f"features by {_network(backbone)}, {rates.features:,.0f}/s",
        f"fine-tunings of {plan.steps:,} steps of {BATCH} images, {rates.training:,.1f} images/s",
        f"starts: {', '.join(plan.starts)}, judged on {held:,} photographs",
        *(f"left out: {name}, which takes {math.ceil(minutes)} minutes" for name, minutes in plan.left_out.items()),
    ]
    if len(config.model) > 1:
        computes.append(f"a linear probe on each of {len(config.model)} models, which is not in the time")
    return _foresight([whole, *test, *opened], computes, str(directory_of(config)), spent + plan.seconds)


def _within(dataset: ImageDataset, limit: int | None) -> int:
    """Images of a dataset, at most so many of each class."""
    return len(dataset) if limit is None else int(np.minimum(dataset.counts, limit).sum())


#: Configuration → what the command would do.
_KINDS: dict[type, Callable[[Any], Foresight]] = {
    ExtractConfig: _extraction,
    PretrainConfig: _training,
    FinetuneConfig: _training,
    FitClassifierConfig: _training,
    RunConfig: _recipe,
    DemoConfig: _demo,
    TrialConfig: _trial,
}


def _foresight(datasets: list[ImageDataset], computes: list[str], out: str, seconds: float | None) -> Foresight:
    reads = tuple(f"{len(one):,} images of {len(one.classes):,} classes: {one.spec}" for one in datasets)
    return Foresight(reads, tuple(computes), out, Path(out).exists(), seconds)


def _network(backbone: Backbone) -> str:
    return f"{backbone.name} at {backbone.preprocessing.image_size} px"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:.1f} hours"
