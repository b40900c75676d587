"""Before a trial: hold images out, measure the machine, choose the model, and write down what is tried."""

from __future__ import annotations

import hashlib
import math
import re
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
from features.infrastructure.formats.tables import write_table
from features.infrastructure.options import Machine
from features.readers.holdout import GROUP_COLUMNS, HELD_OUT
from features.readers.subsampling import DRAW_OPTIONS
from similarity.copies.duplicates import DuplicatesConfig, find_duplicates
from similarity.copies.local_geometry import copy_threshold
from similarity.copies.within import groups_of_copies
from similarity.measures.catalogue import Score
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
        banks: Spec → file of the bank of each source that was extracted before, under the only model.
        began: ``time.perf_counter()`` when the trial began.
    """
    seconds = 60 * config.minutes
    rates = measure_rates(load_backbone(config.model[0]), whole, config)
    console.print(
        f"{config.model[0]} on this machine: {rates.features:,.0f} images/s seen, {rates.training:,.1f}/s trained on"
    )
    spec = DatasetSpec.parse(given.whole)
    if (a_class := photographs_a_class(whole, rates, seconds)) is not None:
        spec = replace(spec, options={**spec.options, "per_class": str(a_class)})
        console.print(f"{a_class} images of each class are tried: {len(whole):,} are too many for the time")
    train, test = _parts(config, out, spec, given.test)
    model = _best_model(config, out, train)
    if model != config.model[0]:
        rates = measure_rates(load_backbone(model), whole, config)
    specs, files = [], []
    if sources:
        judged = _bank(config, out, model, "test", test)
        for number, source in enumerate(sources):
            name = f"source-{number}"
            if source.spec in banks:
                bank = FeatureBank.open(banks[source.spec])
            else:
                bank = _bank(config, out, model, name, _sampled(source, rates, seconds / len(sources)))
            bank = _without_copies(out, name, bank, judged)
            specs.append(bank.name)
            files.append(str(bank.path))
    images = len(open_dataset(train)), len(open_dataset(test))
    seen = sum(len(open_dataset(name)) for name in specs) if sources else None
    plan = make_plan(*images, seen, rates, seconds, time.perf_counter() - began)
    for start, minutes in plan.left_out.items():
        console.print(f"left out: {start}, with which it would take about {math.ceil(minutes)} minutes")
    # The recipe is the same with any number of workers.
    machine = {
        name: value for name, value in config.machine().items() if name != "workers" and value != getattr(Machine, name)
    }
    arms = recipe_arms(plan, model)
    for arm in arms.values():
        arm["finetune"] |= machine
    training = {"backbone": model, "weights": "none", "steps": max(1, plan.pretraining), "batch_size": BATCH}
    recipe = {
        "name": out.name,
        "target": train,
        "test": test,
        "sources": specs,
        "banks": files,
        "seeds": [config.seed],
        "arms": arms,
        "extract": {"backbone": model, **machine},
        "pretrain": {**training, **machine},
    }
    return recipe, plan


def photographs_a_class(whole: ImageDataset, rates: Rates, seconds: float) -> int | None:
    """Photographs of each class whose features fit into their share of the time; None for all of them."""
    fitting = _FOR_PHOTOGRAPHS * seconds * rates.features
    if len(whole) <= fitting or "per_class" in DatasetSpec.parse(whole.spec).options:
        return None
    return max(4, math.floor(fitting / len(whole.classes)))


def _parts(config: TrialConfig, out: Path, spec: DatasetSpec, test: str | None) -> tuple[str, str]:
    """The specs to train on and to test on, without a copy of a test image in the training."""
    held = {**spec.options, "holdout": f"{config.holdout:g}", "seed": spec.options.get("seed", str(config.seed))}
    if test is None and not any(name in spec.options for name in DRAW_OPTIONS if name != "seed"):
        held |= _groups(config, out, str(spec))
        return str(replace(spec, options=held)), str(replace(spec, options={**held, "part": HELD_OUT}))
    if test is None:
        # The holdout precedes the draw, so that the two parts are drawn apart; copies are looked for between them.
        drawn = (
            {"per_class": str(max(1, round(config.holdout * int(held["per_class"]))))} if "per_class" in held else {}
        )
        test = str(replace(spec, options={**held, **drawn, "part": HELD_OUT}))
        spec = replace(spec, options=held)
    judged = _bank(config, out, config.model[0], "test", test)
    return _without_copies(out, "train", _bank(config, out, config.model[0], "train", str(spec)), judged).name, test


def _groups(config: TrialConfig, out: Path, spec: str) -> dict[str, str]:
    """The option ``groups`` with a table of the photographs that are copies of another; empty if none is."""
    bank = _bank(config, out, config.model[0], "photographs", spec)
    groups, ids = groups_of_copies(bank), bank.images()[2]
    together = np.flatnonzero(np.bincount(groups)[groups] > 1)
    if _too_narrow(bank, len(ids) * (len(ids) - 1) // 2) or not len(together):
        return {}
    table = out / f"groups-{_key(bank)}.csv"
    write_table(
        table, {"dataset": spec}, GROUP_COLUMNS, zip(ids.take(together), groups[together].tolist(), strict=True)
    )
    return {"groups": str(table)}


def _without_copies(out: Path, name: str, bank: FeatureBank, judged: FeatureBank) -> FeatureBank:
    """The bank of a dataset that excludes copies of test images, or the bank itself if there is none."""
    if not bank.keeps_images:
        console.print(f"{bank.name}: its bank keeps no images, so that copies of test images in it are not found")
        return bank
    if _too_narrow(bank, len(bank.image_labels()[1]) * len(judged.image_labels()[1])):
        return bank
    key, listed = _key(bank), str(out / f"copies-in-{name}.csv")
    given: dict[str, Any] = {"source": str(bank.path), "against": [str(judged.path)], "out": listed, "overwrite": True}
    copies = len(find_duplicates(DuplicatesConfig(**given)).rows)
    if not copies:
        return bank
    console.print(f"{bank.name}: {copies} images are copies of test images and are left out: {listed}")
    clean = str(out / "banks" / f"{name}-without-copies-{key}.h5")
    find_duplicates(DuplicatesConfig(**given, clean_bank=clean))
    return FeatureBank.open(clean)


def _key(bank: FeatureBank) -> str:
    """A part of a file's name that tells banks apart, whatever a bank says of itself."""
    return re.sub("[^0-9a-f]", "", str(bank.attrs["manifest_sha256"]))[:8]


def _too_narrow(bank: FeatureBank, pairs: int) -> bool:
    """Whether the features do not tell copies, which is said."""
    narrow = copy_threshold(pairs, bank.means.shape[1]) >= 1
    if narrow:
        console.print(f"{bank.name}: {bank.means.shape[1]} features do not tell copies; none are looked for")
    return narrow


def _bank(config: TrialConfig, out: Path, model: str, name: str, dataset: str) -> FeatureBank:
    """The features of all images of a dataset under a model."""
    key = [open_dataset(dataset).manifest_sha256, dataset, model, config.precision]
    path = out / "banks" / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}.h5"
    options = {"backbone": model, "keep_images": True, **config.machine()}
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
