"""A small search over learning rate and weight decay, judged by held-out images, never by the test images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TypeVar

from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.files import write_json
from features.infrastructure.processes import rank
from finetune.configuration import TrainingOptions, training_config
from finetune.training.fitting import TrainingResult

Config = TypeVar("Config", bound=TrainingOptions)

#: Factors of the learning rate and of the weight decay in the options.
RATES = (1.0, 1 / 3, 3.0)
DECAYS = (1.0, 10.0)
#: Share of the smallest class that is held out if no validation is given.
HELD_OUT = 0.2


def best_options(
    config: Config, train: Callable[[Config], TrainingResult], smallest: int, say: Callable[[str], None] = console.print
) -> Config:
    """The options with the learning rate and weight decay of the best trial, for a training on all images.

    A trial is a run beside ``config.out``; finished ones are reused. It is judged by the mean accuracy over the classes
    on the validation after its best epoch. The trials lie around the learning rate and weight decay of ``config``.

    Args:
        config: The options.
        train: Runs a trial.
        smallest: Images of the smallest class.
        say: Takes one line per trial.

    Raises:
        InputError: As ``train``, or a class has no image to hold out.
    """
    if config.validation is None and smallest < 2:
        raise InputError("`search`: a class has a single image, none to hold out; give `validation`, a dataset spec")
    beside = Path(f"{config.out}.search")
    validation = config.validation or max(1, int(HELD_OUT * smallest))
    found = []
    for trial in _trials(config, beside, validation):
        macro = train(trial).metrics["validation"]["macro"]
        found.append({"lr": trial.lr, "weight_decay": trial.weight_decay, "macro": macro, "run": trial.out})
        say(f"search: lr {trial.lr:.4g}, weight decay {trial.weight_decay:.4g}: {macro:.4f} on the validation")
    best = max(found, key=lambda row: row["macro"])  # the first of equals
    if rank() == 0:
        write_json(beside / "search.json", {"trials": found, "best": best})
    return replace(config, search=False, lr=best["lr"], weight_decay=best["weight_decay"])


def _trials(config: Config, beside: Path, validation: int | str) -> Iterator[Config]:
    centre = training_config(config)
    pairs = [(centre.lr * lr, centre.weight_decay * decay) for lr, decay in product(RATES, DECAYS)]
    for lr, decay in dict.fromkeys(pairs):  # without weight decay there are fewer
        out = str(beside / f"lr-{lr:.4g}-wd-{decay:.4g}")
        yield replace(config, out=out, validation=validation, test=None, search=False, lr=lr, weight_decay=decay)
