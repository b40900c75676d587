"""What fits into the stated time: which starts are tried, for how many steps, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune.training.batches import batches_an_epoch
from similarity import DEFAULT_STRATEGY
from transfer.rates import Rates

#: Names of the starts, in the order in which they are given time.
PROBE, FINE_TUNED, CONTINUED, SELECTED = (
    "linear probe",
    "fine-tuned",
    "continued on the choice",
    "from the choice alone",
)
#: Passes over the training images in fine-tuning: as many as its default has, and as few as are worth a comparison of
#: fine-tuning with the probe, and of pre-training with fine-tuning.
EPOCHS, LEAST_TUNED, LEAST = 12, 1, 2
#: Images per step, and passes over the images of the sources that a pre-training takes at most.
BATCH, PASSES = 64, 10
#: Share of the time that the features of the sources may take.
FOR_FEATURES = 0.1
#: Share of the time that is planned for; the rest allows for errors of the estimates.
_PLANNED = 0.75
#: Seconds that a start takes whatever its size.
_BESIDE = 5.0


@dataclass(frozen=True)
class Plan:
    """What is tried.

    Attributes:
        starts: Names of the starts.
        steps: Optimiser steps of a fine-tuning.
        pretraining: Optimiser steps of a pre-training; 0 if none is tried.
        seconds: How long it is expected to take.
        left_out: For each start that does not fit, the minutes that a trial with it would take.
    """

    starts: tuple[str, ...]
    steps: int
    pretraining: int
    seconds: float
    left_out: Mapping[str, float]


def make_plan(train: int, test: int, source: int | None, rates: Rates, seconds: float, spent: float = 0.0) -> Plan:
    """Choose the starts, and their steps, that fit into the time.

    The linear probe is always tried. The others are added one after the other as long as each still sees the training
    images often enough. All fine-tunings take the same steps, at most :data:`EPOCHS` passes. A pre-training takes at
    least as many; the time that is left goes to it, up to :data:`PASSES` over the images of the sources.

    Args:
        train, test: Images to train on and to test on.
        source: Images of the sources; None without sources.
        rates: What the machine does.
        seconds: The time in all.
        spent: Seconds of it that are gone, the features of photographs and sources among them.
    """
    order = (PROBE, FINE_TUNED, CONTINUED, SELECTED) if source is not None else (PROBE, FINE_TUNED)
    batches, batch = batches_an_epoch(train, BATCH), min(BATCH, train)

    def passes(starts: tuple[str, ...]) -> float:
        """Seconds beside the training steps: features, evaluations and predictions."""
        images = train + sum({PROBE: 1, SELECTED: 0}.get(start, 2) * train + 2 * test for start in starts)
        return images / rates.features + _BESIDE * len(starts)

    def trainings(starts: tuple[str, ...]) -> int:
        return sum({PROBE: 0, FINE_TUNED: 1}.get(start, 2) for start in starts)

    def needed(starts: tuple[str, ...], epochs: float) -> float:
        return passes(starts) + trainings(starts) * epochs * batches * batch / rates.training

    def least(start: str) -> int:
        return LEAST_TUNED if start == FINE_TUNED else LEAST

    left = _PLANNED * (seconds - spent)
    chosen: tuple[str, ...] = (PROBE,)
    fitting = 0.0
    for number in range(2, len(order) + 1):
        starts = order[:number]
        epochs = (left - passes(starts)) * rates.training / (trainings(starts) * batches * batch)
        if epochs < least(order[number - 1]):
            break
        chosen, fitting = starts, min(epochs, EPOCHS)
    left_out = {
        start: (spent + needed(order[: number + 1], least(start)) / _PLANNED) / 60
        for number, start in enumerate(order)
        if start not in chosen
    }
    expected, more = needed(chosen, fitting), 0.0
    pretrainings = sum(start in (CONTINUED, SELECTED) for start in chosen)
    if pretrainings and source is not None:
        spare = (left - expected) * rates.training / pretrainings
        more = max(0.0, min(spare, PASSES * source - fitting * batches * batch))
        expected += pretrainings * more / rates.training
    steps = max(1, math.floor(fitting * batches))
    pretraining = max(1, math.floor((fitting * batches * batch + more) / BATCH)) if pretrainings else 0
    return Plan(chosen, steps, pretraining, expected, left_out)


def images_a_class(images: int, classes: int, rates: Rates, seconds: float) -> int | None:
    """Images of each class of the sources whose features fit into their share of the time; None for all of them."""
    fitting = FOR_FEATURES * seconds * rates.features
    return None if images <= fitting else max(2, math.floor(fitting / classes))


def recipe_arms(plan: Plan, model: str) -> dict[str, dict[str, Any]]:
    """The arms of a recipe that tries the starts of a plan, from a published model or from random weights."""
    tuning = {"steps": plan.steps, "batch_size": BATCH}
    arms: dict[str, dict[str, Any]] = {
        PROBE: {"init": model, "finetune": {"method": "linear"}},
        FINE_TUNED: {"init": model, "finetune": dict(tuning)},
        CONTINUED: {"init": model, "strategy": DEFAULT_STRATEGY, "finetune": {"classifier": "probe", **tuning}},
        SELECTED: {"strategy": DEFAULT_STRATEGY, "finetune": dict(tuning)},
    }
    return {start: arms[start] for start in plan.starts}
