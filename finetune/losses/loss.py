"""All losses by name, their options, and the row of one. Each row stands in the module that implements the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from numpy.typing import ArrayLike

from features.infrastructure.catalogue import Catalogue
from features.infrastructure.options import Range

if TYPE_CHECKING:
    from finetune.losses.long_tail_loss import LongTailLoss

#: β of the effective number of images; "auto" stands for :func:`finetune.losses.automatic_beta`.
Beta = Annotated[float, Range(0, 1, below=True)] | Literal["auto"]
#: What a weighted sum of losses is divided by; see :mod:`finetune.losses.class_balanced`.
Normalization = Literal["paper", "pytorch"]


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Numbers of the loss and the sampler.

    Only those options are read that the row of the loss or of the sampler names.

    Attributes:
        beta: β of the class-balanced losses, in [0, 1), or auto: from the largest class.
        gamma: γ of the focal losses.
        tau: τ of the loss logit-adjusted.
        normalization: What the class-balanced losses divide by: the number of images (paper) or the sum of their
            weights (pytorch).
        margin: Margin of the rarest class in the ldam losses.
        scale: Factor of the cosines in the ldam losses.
        deferred: Share of the steps after which class weights, or the sampler (from the next whole epoch on),
            re-balance the classes (deferred re-weighting and re-sampling, Cao et al. 2019). By default 0, but 0.8 for
            the weights of ldam-drw.
    """

    beta: Beta = 0.9999
    gamma: Annotated[float, Range(0)] = 1.0
    tau: Annotated[float, Range(0)] = 1.0
    normalization: Normalization = "paper"
    margin: Annotated[float, Range(0, above=True)] = 0.5
    scale: Annotated[float, Range(0, above=True)] = 30.0
    deferred: Annotated[float, Range(0, 1, below=True)] | None = None


@dataclass(frozen=True)
class Loss:
    """One row of :data:`LOSSES`.

    Attributes:
        name, meaning: Name on the command line and in recipes, and one line that says what it is.
        build: The loss from the counts (C,) of the training set, the options, and class names (C,) for messages.
        options: Names of the fields of :class:`LossOptions` that ``build`` reads.
        balanced: Whether it re-balances the classes.
        sigmoid, soft_labels, cosine_classifier: As in :class:`LongTailLoss`.
    """

    name: str
    meaning: str
    build: Callable[[ArrayLike, LossOptions, Sequence[str] | None], LongTailLoss]
    options: frozenset[str] = frozenset()
    balanced: bool = False
    sigmoid: bool = False
    soft_labels: bool = True
    cosine_classifier: bool = False


LOSSES = Catalogue("loss", Loss, "finetune.losses", "transfer.losses")
#: The loss of a training that names none, and that of a pre-training whose sampler leaves the classes unbalanced: the
#: class-balanced loss that transfers as well as plain softmax (``benchmarks/selection_pays.py``).
DEFAULT_LOSS = "softmax"
DEFAULT_BALANCED_LOSS = "balanced-softmax"


def build_loss(name: str, counts: ArrayLike, *, classes: Sequence[str] | None = None, **options: Any) -> LongTailLoss:
    """The loss called ``name`` for a training set of ``counts`` (C,), with fields of :class:`LossOptions`.

    Counts may be 0 only if the loss does not re-balance the classes; ``classes`` (C,) are names for messages.

    Raises:
        InputError: The name is unknown, a class has no image, or a number that the loss reads is out of its range.
        ValueError: ``counts`` is not a vector of counts.

    >>> build_loss("cb-focal", [500, 50, 5], beta="auto").sigmoid
    True
    """
    return LOSSES.find(name).build(counts, LossOptions(**options), classes)
