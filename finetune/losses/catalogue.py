"""All losses by name. Each row stands in the module that implements the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from features.infrastructure.catalogue import Catalogue
from finetune.losses.base import LongTailLoss, Loss
from finetune.losses.options import LossOptions

LOSSES = Catalogue("loss", Loss, "finetune.losses")


def build_loss(name: str, counts: ArrayLike, *, classes: Sequence[str] | None = None, **options: Any) -> LongTailLoss:
    """The loss called ``name`` for a training set.

    Args:
        name: One of :data:`LOSSES`.
        counts: (C,) training images of each class in the whole training set. A class may be empty only if the loss
            does not re-balance the classes.
        classes: (C,) class names for error messages.
        **options: Fields of :class:`LossOptions`.

    Raises:
        InputError: The name is unknown, a class has no image, or a number that the loss reads is out of its range.
        ValueError: ``counts`` is not a vector of counts.

    >>> build_loss("cb-focal", [500, 50, 5], beta="auto").sigmoid
    True
    """
    return LOSSES.find(name).build(counts, LossOptions(**options), classes)
