"""Advice from the class sizes of a dataset: its tail, the class-balanced weights, a loss and a sampler."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finetune.evaluation.metrics import FEW, MANY
from finetune.losses.class_weights import automatic_beta, class_balanced_weights, effective_number
from finetune.losses.loss import DEFAULT_BALANCED_LOSS, DEFAULT_LOSS
from finetune.samplers.catalogue import DEFAULT_SAMPLER

#: β of the table, besides the automatic one: those of Cui et al. (CVPR 2019).
BETAS = (0.9, 0.99, 0.999, 0.9999)
#: Below this imbalance factor the class sizes make little difference to a loss.
BALANCED = 2.0


@dataclass(frozen=True)
class BetaRow:
    """Effective numbers and class-balanced weights of the largest and of the smallest class with an image at one β.

    The weights of all classes have the mean 1. ``automatic`` tells :func:`finetune.losses.automatic_beta` apart.
    """

    beta: float
    automatic: bool
    effective_largest: float
    effective_smallest: float
    weight_largest: float
    weight_smallest: float


@dataclass(frozen=True)
class Advice:
    """The names of a loss and a sampler for a dataset, and the reasons for them, one sentence each."""

    loss: str
    sampler: str
    reasons: tuple[str, ...]


def describe_tail(counts: ArrayLike) -> dict[str, float]:
    """Classes, images, largest and smallest class, imbalance factor, and the numbers of many, medium and few classes.

    An empty class of the counts (C,) is one of few, and does not count in the imbalance factor, largest by smallest
    class.
    """
    sizes = np.asarray(counts)
    present = _present(sizes)
    return {
        "classes": len(sizes),
        "images": int(sizes.sum()),
        "largest": int(present.max()),
        "smallest": int(sizes.min()),
        "imbalance": round(float(present.max() / present.min()), 2),
        "many": int((sizes > MANY).sum()),
        "medium": int(((sizes >= FEW) & (sizes <= MANY)).sum()),
        "few": int((sizes < FEW).sum()),
    }


def beta_table(counts: ArrayLike) -> tuple[BetaRow, ...]:
    """One row for each β of :data:`BETAS` and for the automatic β, in the order of β; counts (C,)."""
    present = _present(counts)
    automatic = automatic_beta(present)
    largest, smallest = int(present.argmax()), int(present.argmin())
    rows = []
    for beta in sorted({*BETAS, automatic}):
        numbers, weights = effective_number(present, beta), class_balanced_weights(present, beta)
        figures = (numbers[largest], numbers[smallest], weights[largest], weights[smallest])
        rows.append(BetaRow(beta, beta == automatic, *map(float, figures)))
    return tuple(rows)


def advise(counts: ArrayLike) -> Advice:
    """The loss and the sampler that suit the class sizes (C,).

    The loss corrects for the class prior, not the sampler: balanced softmax is right for test classes of equal weight
    whatever the sizes are (Ren et al., NeurIPS 2020), and does not repeat the few images of the tail.
    """
    present = _present(counts)
    factor = describe_tail(present)["imbalance"]
    if factor < BALANCED:
        reason = f"the largest class has {factor:g} times the images of the smallest: there is little to correct"
        if factor == 1:
            reason = "all classes have the same number of images: there is nothing to correct"
        return Advice(DEFAULT_LOSS, DEFAULT_SAMPLER, (reason,))
    repeats = present.sum() / (len(present) * present.min())
    share = present.max() / present.sum()
    return Advice(
        DEFAULT_BALANCED_LOSS,
        DEFAULT_SAMPLER,
        (
            f"the largest class has {factor:g} times the images of the smallest: under plain softmax a rare class "
            f"starts with {1 / factor:.2g} of the odds of the largest ({100 * share:.2g} % of the images)",
            "balanced softmax removes these odds, which is right if all classes weigh the same in the test; so does a "
            "second stage on the trained network, transfer fit-classifier --method crt",
            f"class-balanced sampling instead would show each image of the smallest class {repeats:.3g} times an epoch",
        ),
    )


def _present(counts: ArrayLike) -> NDArray[np.int64]:
    """The sizes of the classes that have an image."""
    sizes = np.asarray(counts)
    if sizes.ndim != 1 or not (sizes > 0).any() or (sizes < 0).any():
        raise ValueError(f"`counts` must be one number a class, not negative, not all zero, got {sizes}")
    return sizes[sizes > 0]
