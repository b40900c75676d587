"""Samplers by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice, nearest
from finetune.losses.effective_number import Beta
from finetune.samplers.draws import ClassSampler, DeferredSampler, EpochSampler, ShuffleSampler, checked_labels
from finetune.samplers.probabilities import effective_probabilities, progressive_probabilities

#: The names that :func:`build_sampler` knows, and what they mean.
SAMPLERS = {
    "shuffle": "every image once an epoch",
    "instance": "each image alike, with replacement, as in all that follow (q = 1)",
    "class": "each class alike, then one of its images (q = 0)",
    "sqrt": "classes by the square root of their images (q = 1/2)",
    "progressive": "from instance in the first epoch to class in the last",
    "effective": "each image as often as the class-balanced loss would weigh it (--beta)",
}
#: What any other power is written as.
_POWER = "q="


def power_of(name: str) -> float | None:
    """q of a sampler that is written as its power, such as ``q=0.25``; None for any other name."""
    try:
        q = float(name.removeprefix(_POWER)) if name.startswith(_POWER) else math.nan
    except ValueError:
        return None
    return q if math.isfinite(q) else None


def balances(name: str) -> bool:
    """Whether a sampler makes up for the sizes of the classes."""
    q = power_of(name)
    return name not in ("shuffle", "instance") if q is None else q < 1


def check_sampler(name: str) -> None:
    """Refuse a name that :func:`build_sampler` does not know.

    Raises:
        InputError: The name is unknown.
    """
    if name not in SAMPLERS and power_of(name) is None:
        power = "" if nearest(name, SAMPLERS) else ", or a power such as q=0.25"
        raise InputError(f"--sampler {name}: {choice(name, SAMPLERS)}{power}")


def build_sampler(
    name: str,
    labels: ArrayLike,
    *,
    epochs: int = 2,
    beta: Beta = 0.9999,
    deferred: float = 0.0,
    length: int | None = None,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> EpochSampler:
    """The sampler called ``name``.

    Args:
        name: One of :data:`SAMPLERS`, or a power such as ``q=0.25``.
        labels: (N,) class of each image, integers from 0.
        epochs: T, the epochs of the training, for ``progressive``, which needs two, and for ``deferred``.
        beta: β of ``effective``, in [0, 1), or "auto".
        deferred: Share of the epochs before which it is ``shuffle`` that draws instead of a sampler that balances; an
            epoch is of one kind, so that it is the first whole one after that share which is drawn otherwise.
        length: Positions of a global epoch, N by default.
        seed, rank, world_size: See :class:`EpochSampler`.

    Raises:
        InputError: The name is unknown, ``beta`` is out of range, or there are too few epochs to be progressive in or
            to defer to.
        ValueError: Another argument is out of range.
    """
    check_sampler(name)
    truth = checked_labels(labels)
    if name == "shuffle":
        return ShuffleSampler(len(truth), length=length, seed=seed, rank=rank, world_size=world_size)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if name == "progressive" and epochs < 2:
        raise InputError("--sampler progressive: changes from epoch to epoch, and there is one; give more --epochs")
    counts = np.bincount(truth)
    schedules: dict[str, float | Callable[[int], NDArray[np.float64]]] = {
        "instance": 1.0,
        "class": 0.0,
        "sqrt": 0.5,
        "progressive": lambda epoch: progressive_probabilities(counts, min(1.0, epoch / (epochs - 1))),
        "effective": lambda _: effective_probabilities(counts, beta),
    }
    q = schedules[name] if name in schedules else power_of(name)
    assert q is not None  # or check_sampler would have refused it
    sampler = ClassSampler(truth, q=q, length=length, seed=seed, rank=rank, world_size=world_size)
    if not deferred or not balances(name):  # another share of classes is all that is put off
        return sampler
    if not 0 < deferred < 1:
        raise ValueError(f"deferred must be a share from 0 to below 1, got {deferred}")
    switch = math.ceil(round(deferred * epochs, 9))
    if switch >= epochs:
        raise InputError(f"--deferred {deferred}: leaves --sampler {name} none of {epochs} epochs; give more or less")
    return DeferredSampler(sampler, len(truth), switch)
