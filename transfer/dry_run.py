"""``--dry-run``: what a command that takes long would read, compute and write, and how long it would take here."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features import ExtractConfig, open_dataset
from features.dataset import ImageDataset
from features.extraction.class_means import class_means_of
from features.extraction.options import DEFAULT_BACKBONE
from features.infrastructure.errors import InputError, as_typed
from features.precomputed.rows import FeatureRows
from finetune import FinetuneConfig, FitClassifierConfig, PretrainConfig
from finetune.shared_options import resolve
from finetune.source_classes import open_sources
from transfer.commands.demo import RECIPE, DemoConfig, one_thread
from transfer.commands.run import RunConfig
from transfer.commands.trial import TrialConfig
from transfer.foresight import Foresight, downloads, in_words, network_to_measure, say_downloads, training_steps
from transfer.rates import measure_rates
from transfer.recipe_foresight import foresee_recipe
from transfer.trial.photographs import read_photographs


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
        return Foresight.of([dataset], ["class statistics of features that are computed already"], config.out, None)
    from features.extraction.ray_engine import check_ray  # imports PyTorch

    if config.engine == "ray":
        check_ray()
    name = DEFAULT_BACKBONE if config.backbone is None else config.backbone
    backbone = network_to_measure(name, config.weights, config.image_size, seed=config.seed)
    number, total = map(int, config.shard.split("/")) if config.shard else (1, 1)
    images = len(dataset) * number // total - len(dataset) * (number - 1) // total
    rate = measure_rates(backbone, dataset, config, training=False).features
    computes = [f"features of {images:,} images by {in_words(backbone)}, {rate:,.0f}/s"]
    if config.engine == "ray":
        computes.append("on workers of Ray, which are not in the time: it is that of this machine alone")
    return Foresight.of([dataset], [*computes, *say_downloads(name, config.weights)], config.out, images / rate)


def _training(config: FinetuneConfig | PretrainConfig | FitClassifierConfig) -> Foresight:
    config, _ = resolve(config)
    from finetune import finetuning, pretraining
    from finetune.training.extras import Extras
    from finetune.training.fitting import judging_images

    extras, validation, weights = Extras(), None, config.weights or "default"
    if isinstance(config, PretrainConfig):
        source, init = open_sources(config.sources, config.subset), config.start
        dataset, validation = source.images, config.validation
        if downloads(init, weights):  # what its classifier knows is not known yet
            backbone = network_to_measure(init, weights, config.image_size, config.crop_pct, config.seed)
        else:
            backbone = pretraining.network_of(config)
            extras = pretraining.extras_of(config, backbone, source)
    else:
        dataset, init = open_dataset(config.dataset), config.init
        backbone = network_to_measure(init, weights, config.image_size, config.crop_pct, config.seed)
    if isinstance(config, FinetuneConfig):
        extras, validation = finetuning.extras_of(config, backbone, dataset.classes), config.validation
    judge, _ = judging_images(dataset, config, extras, validation)
    test = [] if judge is None else [judge]
    beside = [] if extras.co_training is None else [extras.co_training.dataset]
    rates = measure_rates(backbone, dataset, config, training=not isinstance(config, FitClassifierConfig))
    seconds = sum(map(len, test)) / rates.features
    if isinstance(config, FitClassifierConfig):
        computes = f"features by {in_words(backbone)}, {rates.features:,.0f}/s, and a classifier by {config.method}"
        seconds += len(dataset) / rates.features
        return Foresight.of([dataset, *test], [computes, *say_downloads(init, weights)], config.out, seconds)
    images, steps = config.images_per_step, training_steps(config, len(dataset))
    often = steps * images / len(dataset)
    times = f"each image {often:,.1f} times on average" if often >= 0.1 else f"{100 * often:.1f} % of the images"
    computes = f"{steps:,} steps of {images} images ({times}), {in_words(backbone)}, {rates.training:,.1f} images/s"
    added = [name for name in ("search", "with_", "validation") if getattr(config, name, None)]
    more = [f"what `{name.rstrip('_')}` adds, which is not in the time" for name in added]
    more += say_downloads(init, weights)
    seconds += steps * images / rates.training
    return Foresight.of([dataset, *beside, *test], [computes, *map(as_typed, more)], config.out, seconds)


def _demo(config: DemoConfig) -> Foresight:
    with one_thread():
        return foresee_recipe(RunConfig(recipe=str(RECIPE), out=config.out))


def _trial(config: TrialConfig) -> Foresight:
    given = read_photographs(config.photographs, config.test)
    from transfer.trial.plan import BATCH, images_a_class, make_plan  # these import PyTorch
    from transfer.trial.preparing import photographs_a_class
    from transfer.trial.trying import directory_of, sources_of

    whole, test = open_dataset(given.whole), [] if given.test is None else [open_dataset(given.test)]
    banks, sources = sources_of(config)
    opened = [open_dataset(spec) for spec in (*sources, *banks)]
    backbone = network_to_measure(config.model[0], "default")
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
        f"features by {in_words(backbone)}, {rates.features:,.0f}/s",
        f"fine-tunings of {plan.steps:,} steps of {BATCH} images, {rates.training:,.1f} images/s",
        f"starts: {', '.join(plan.starts)}, judged on {held:,} photographs",
        *(f"left out: {name}, which takes {math.ceil(minutes)} minutes" for name, minutes in plan.left_out.items()),
    ]
    if len(config.model) > 1:
        computes.append(f"a linear probe on each of {len(config.model)} models, which is not in the time")
    computes += [line for model in config.model for line in say_downloads(model, "default")]
    return Foresight.of([whole, *test, *opened], computes, str(directory_of(config)), spent + plan.seconds)


def _within(dataset: ImageDataset, limit: int | None) -> int:
    """Images of a dataset, at most so many of each class."""
    return len(dataset) if limit is None else int(np.minimum(dataset.counts, limit).sum())


#: Configuration → what the command would do.
_KINDS: dict[type, Callable[[Any], Foresight]] = {
    ExtractConfig: _extraction,
    PretrainConfig: _training,
    FinetuneConfig: _training,
    FitClassifierConfig: _training,
    RunConfig: foresee_recipe,
    DemoConfig: _demo,
    TrialConfig: _trial,
}
