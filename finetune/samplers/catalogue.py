"""All samplers by name. Each row stands in the module that implements the sampler."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError
from finetune.samplers.sampler import SamplerOptions, SamplerRow

if TYPE_CHECKING:
    from finetune.samplers.epoch_sampler import EpochSampler

SAMPLERS = Catalogue("sampler", SamplerRow, "finetune.samplers", "transfer.samplers")
#: The sampler of a training that names none.
DEFAULT_SAMPLER = "shuffle"


def find_sampler(name: str) -> SamplerRow:
    """The row called ``name``: one of :data:`SAMPLERS`, or a row made for a power such as ``q=0.25``.

    Raises ``InputError`` if the name is unknown.
    """
    if name.startswith("q="):
        from finetune.samplers.class_sampler import power  # imports PyTorch

        try:
            q = float(name.removeprefix("q="))
        except ValueError:
            q = math.nan
        if math.isfinite(q):
            return power(name, q, f"classes in proportion to their image counts to the power {q:g}")
    try:
        return SAMPLERS.find(name)
    except InputError as error:
        raise InputError(f"{error}; or a power such as q=0.25") from None


def sampler_meanings() -> dict[str, str]:
    """The meaning of every row by its name, and of the powers."""
    return SAMPLERS.meanings() | {"q=Q": "classes in proportion to their image counts to any power Q, as q=0.25"}


def build_sampler(name: str, labels: ArrayLike, **options: Any) -> EpochSampler:
    """The sampler called ``name`` for a training set, with fields of :class:`SamplerOptions`.

    Args:
        name: One of :data:`SAMPLERS`, or a power such as ``q=0.25``.
        labels: (N,) class of each image, integers from 0.

    Raises:
        InputError: The name is unknown, ``beta`` is out of range, or there are too few epochs for the sampler.
        ValueError: ``labels`` or another option is out of range.
    """
    from finetune.samplers.epoch_sampler import DeferredSampler, checked_labels  # imports PyTorch

    row, truth, given = find_sampler(name), checked_labels(labels), SamplerOptions(**options)
    if given.epochs < 1:
        raise ValueError(f"`epochs` must be at least 1, got {given.epochs}")
    sampler = row.build(truth, given)
    if not given.deferred or "deferred" not in row.options:
        return sampler
    if not 0 < given.deferred < 1:
        raise ValueError(f"`deferred` must be in [0, 1), got {given.deferred}")
    switch = math.ceil(round(given.deferred * given.epochs, 9))
    if switch >= given.epochs:
        raise InputError(
            f"`deferred` {given.deferred}: leaves `sampler` {name} none of {given.epochs} epochs; "
            "give more `epochs` or a smaller share"
        )
    return DeferredSampler(SAMPLERS[DEFAULT_SAMPLER].build(truth, given), sampler, switch)
