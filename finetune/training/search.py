"""A small search over learning rate and weight decay, judged by held-out images, never by the test images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TypeVar

from features.dataset import ImageDataset
from features.infrastructure.console import console
from features.infrastructure.disk.files import write_json
from features.infrastructure.errors import InputError
from features.infrastructure.processes import rank
from features.readers import open_dataset
from finetune.shared_options import TrainingOptions, training_config
from finetune.training.fitting import TrainingResult
from finetune.training.held_out import split_off

Config = TypeVar("Config", bound=TrainingOptions)

#: Factors of the learning rate and of the weight decay in the options.
RATES = (1.0, 1 / 3, 3.0)
DECAYS = (1.0, 10.0)
#: Share of the smallest class that is held out if no validation is given.
HELD_OUT = 0.2


def best_options(
    config: Config,
    train: Callable[[Config], TrainingResult],
    images: ImageDataset,
    start: str = "",
    say: Callable[[str], None] = console.print,
) -> Config:
    """The options with the learning rate and weight decay of the best trial, for a training on all ``images``.

    The trials lie around those of ``config``, and start from the model ``start``. A trial is a run beside
    ``config.out`` by ``train``; finished ones are reused. It is judged by the mean accuracy over the classes on the
    validation after its best epoch; ``say`` takes one line about it. Raises ``InputError`` as ``train`` does, or if a
    class has no image to hold out.
    """
    smallest = int(images.counts.min())
    if config.validation is None and smallest < 2:
        raise InputError("`search`: a class has a single image, none to hold out; give `validation`, a dataset spec")
    beside = Path(f"{config.out}.search")
    validation = config.validation or max(1, int(HELD_OUT * smallest))
    try:
        split_off(images, validation, config.seed, open_dataset(config.test) if config.test else None, start)
    except InputError as error:
        raise InputError(f"`search`: {error}") from error
    found = []
    centre = training_config(config)
    pairs = [(centre.lr * lr, centre.weight_decay * decay) for lr, decay in product(RATES, DECAYS)]
    for lr, decay in dict.fromkeys(pairs):  # without weight decay there are fewer
        out = str(beside / f"lr-{lr:.4g}-wd-{decay:.4g}")
        trial = replace(
            config, out=out, validation=validation, test=None, search=False, profile=False, lr=lr, weight_decay=decay
        )
        macro = train(trial).metrics["validation"]["macro"]
        found.append({"lr": lr, "weight_decay": decay, "macro": macro, "run": out})
        say(f"search: lr {lr:.4g}, weight decay {decay:.4g}: {macro:.4f} on the validation")
    best = max(found, key=lambda row: row["macro"])  # the first of equals
    if rank() == 0:
        write_json(beside / "search.json", {"trials": found, "best": best})
    return replace(config, search=False, lr=best["lr"], weight_decay=best["weight_decay"])
