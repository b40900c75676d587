"""Before a trial: hold images out, measure the machine, choose the model, and write down what is tried."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features import ExtractConfig, FeatureBank, extract, open_dataset
from features.backbones.loading import load_backbone
from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.console import console
from features.infrastructure.options import Machine
from features.infrastructure.tables import write_table
from features.readers.holdout import GROUP_COLUMNS, HELD_OUT
from similarity.duplicates import DuplicatesConfig, find_duplicates
from similarity.measures.catalogue import Score
from similarity.near_copies import groups_of_copies
from transfer.commands.rank_models import RankModelsConfig, rank_models
from transfer.rates import Rates, measure_rates
from transfer.trial.photographs import Photographs
from transfer.trial.plan import BATCH, Plan, images_a_class, make_plan, recipe_arms

if TYPE_CHECKING:
    from transfer.commands.trial import TrialConfig

#: Share of the time that the features of the photographs may take; of more, some of each class are tried.
_FOR_PHOTOGRAPHS = 0.25


def prepare(
    config: TrialConfig,
    out: Path,
    given: Photographs,
    whole: ImageDataset,
    sources: Sequence[ImageDataset],
    banks: Mapping[str, str],
    began: float,
) -> tuple[dict[str, Any], Plan]:
    """Return the recipe of a trial, as it stands in YAML, and its plan.

    Args:
        config: The options.
        out: The directory of the trial.
        given: The photographs.
        whole: The same, opened.
        sources: The sources, opened.
        banks: Spec → file of the bank of each source that was extracted before.
        began: ``time.perf_counter()`` when the trial began.
    """
    seconds = 60 * config.minutes
    rates = measure_rates(load_backbone(config.model[0]), whole, config)
    console.print(
        f"{config.model[0]} on this machine: {rates.features:,.0f} images/s seen, {rates.training:,.1f}/s trained on"
    )
    spec = DatasetSpec.parse(given.whole)
    if len(whole) > _FOR_PHOTOGRAPHS * seconds * rates.features and "per_class" not in spec.options:
        a_class = max(4, math.floor(_FOR_PHOTOGRAPHS * seconds * rates.features / len(whole.classes)))
        spec = replace(spec, options={**spec.options, "per_class": str(a_class)})
        console.print(f"{a_class} images of each class are tried: {len(whole):,} are too many for the time")
    train, test = _parts(config, out, spec, given.test)
    model = _best_model(config, out, train)
    if model != config.model[0]:
        rates = measure_rates(load_backbone(model), whole, config)
    specs = [one.spec if one.spec in banks else _sampled(one, rates, seconds / len(sources)) for one in sources]
    seen = sum(len(open_dataset(spec)) for spec in specs if spec not in banks)
    images = len(open_dataset(train)), len(open_dataset(test))
    plan = make_plan(*images, seen if sources else None, rates, seconds, time.perf_counter() - began)
    for start, minutes in plan.left_out.items():
        console.print(f"left out: {start}, with which it would take about {math.ceil(minutes)} minutes")
    machine = {name: value for name, value in config.machine().items() if value != getattr(Machine, name)}
    arms = recipe_arms(plan, model)
    for arm in arms.values():
        arm["finetune"] |= machine
    recipe = {
        "name": out.name,
        "target": train,
        "test": test,
        "sources": specs,
        "banks": list(banks.values()),
        "seeds": [config.seed],
        "arms": arms,
        "extract": {"backbone": model, **machine},
        "pretrain": {"backbone": model, "weights": "none", "steps": plan.steps, "batch_size": BATCH, **machine},
    }
    return recipe, plan


def _parts(config: TrialConfig, out: Path, spec: DatasetSpec, test: str | None) -> tuple[str, str]:
    """The specs to train on and to test on, with copies of an image on one side."""
    mine = _bank(config, out, "photographs", str(spec))
    if test is not None:
        copies, theirs = str(out / "copies.csv"), _bank(config, out, "test", test)
        against = DuplicatesConfig(source=str(mine.path), against=[str(theirs.path)], out=copies, overwrite=True)
        found = find_duplicates(against)
        if not found.rows:
            return str(spec), test
        console.print(f"{len(found.rows)} training images are copies of test images and are left out: {copies}")
        return found.source, test
    groups, ids = groups_of_copies(mine), mine.images()[2]
    together = np.flatnonzero(np.bincount(groups)[groups] > 1)
    held = {**spec.options, "holdout": f"{config.holdout:g}", "seed": str(config.seed)}
    if len(together):
        table = out / f"groups-{str(mine.attrs['manifest_sha256'])[:8]}.csv"
        write_table(table, {"dataset": str(spec)}, GROUP_COLUMNS, [(ids[i], int(groups[i])) for i in together])
        console.print(f"{len(together)} photographs are like another, and stay on one side with it: {table}")
        held["groups"] = str(table)
    return str(replace(spec, options=held)), str(replace(spec, options={**held, "part": HELD_OUT}))


def _bank(config: TrialConfig, out: Path, name: str, dataset: str) -> FeatureBank:
    """The features of all images of a dataset under the first model."""
    path = out / "banks" / f"{name}-{open_dataset(dataset).manifest_sha256[:8]}.h5"
    options = {"backbone": config.model[0], "keep_images": True, **config.machine()}
    return extract(ExtractConfig(dataset=dataset, out=str(path), **options)).bank


def _best_model(config: TrialConfig, out: Path, train: str) -> str:
    """The model whose features serve the training images best, by a cross-validated linear probe."""
    if len(config.model) == 1:
        return config.model[0]
    ranked = rank_models(
        RankModelsConfig(
            target=train, model=config.model, measures=["linear-probe"], cache=str(out / "zoo"), **config.machine()
        )
    )
    for one in ranked.candidates:
        found = one.measures["linear-probe"]
        said = f"{found.value:.4f}" if isinstance(found, Score) else f"no figure ({found.reason})"
        console.print(f"{one.model}: a linear probe has {said} on the training photographs")
    return ranked.candidates[0].name


def _sampled(source: ImageDataset, rates: Rates, seconds: float) -> str:
    """The spec of a source, with some of its images a class if all are too many for the time."""
    spec = DatasetSpec.parse(source.spec)
    a_class = images_a_class(len(source), len(source.classes), rates, seconds)
    if a_class is None or "per_class" in spec.options:
        return source.spec
    console.print(f"{source.spec}: {a_class} images of each class are used, as many as the time allows")
    return str(replace(spec, options={**spec.options, "per_class": str(a_class)}))
