"""Class-balanced weights, and the effective number of samples that they follow from.

Source: Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from finetune.losses.loss import Beta


def class_balanced_weights(
    counts: ArrayLike, beta: Beta, *, classes: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Class weights (C,) ∝ 1/E_n, positive and scaled to the sum C (section 4 of the paper).

    β = 0 gives ones; β → 1 gives inverse frequency. The arguments are those of :func:`class_counts` and
    :func:`effective_number`, and so are the errors.

    >>> class_balanced_weights([1000, 10], beta=0.0)
    array([1., 1.])
    """
    inverse = 1 / effective_number(class_counts(counts, classes), beta)
    return inverse * (len(inverse) / inverse.sum())


def effective_number(counts: ArrayLike, beta: Beta) -> NDArray[np.float64]:
    """The effective number E_n = (1 − βⁿ)/(1 − β) of n samples (eq. 2 of the paper), between 0 and min(n, 1/(1 − β)).

    It is computed as expm1(n·log β)/(β − 1), which keeps full precision for every n and as β → 1, where E_n → n. The
    ``counts`` n may have any shape, which the result has too; ``beta`` is in [0, 1), or "auto".

    Raises:
        ValueError: A count is negative or not finite.
        InputError: ``beta`` is outside [0, 1).

    >>> round(float(effective_number(1000, beta=0.9999)), 1)
    951.7
    """
    values = _non_negative(counts)
    beta = automatic_beta(values) if beta == "auto" else beta
    if not isinstance(beta, Real) or not 0 <= beta < 1:
        raise InputError(f"`beta` {beta}: expected auto, or at least 0 and below 1")
    if beta == 0:  # log β is −∞; all images of a class stand for one
        return np.asarray(values > 0, dtype=np.float64)
    beta = float(beta)  # with a NumPy float16 the result would be float16
    return np.asarray(np.expm1(values * np.log(beta)) / (beta - 1))


def automatic_beta(counts: ArrayLike) -> float:
    """β = (N − 1)/N, where N is the count of the largest class.

    The paper sets N to "the number of unique prototypes" of a class (section 3), and chooses it on a grid for each
    dataset. Taking it from the largest class is this project's rule. The weights of rare classes are then close to
    inverse frequency, and E_n of the largest class is about 0.63·n.

    >>> round(automatic_beta([500, 50, 5]), 6)
    0.998
    """
    largest = float(np.max(_non_negative(counts)))
    return 1 - 1 / max(largest, 1.0)


def class_counts(counts: ArrayLike, classes: Sequence[str] | None = None) -> NDArray[np.float64]:
    """The training images of each class (C,) as float64, for a loss that needs all of them to be positive.

    ``counts`` are those of the whole training set, never of a batch; ``classes`` (C,) are names for the message.

    Raises:
        ValueError: ``counts`` is no vector of finite, non-negative numbers, or ``classes`` has another length.
        InputError: A class has no image.
    """
    values = _non_negative(counts)
    if values.ndim != 1:
        raise ValueError(f"`counts` must have shape (C,), one number a class, got {values.shape}")
    if classes is not None and len(classes) != len(values):
        raise ValueError(f"`classes` must name the {len(values)} classes of `counts`, got {len(classes)} names")
    empty = np.flatnonzero(values == 0)
    if len(empty):
        first = repr(classes[empty[0]]) if classes is not None else f"number {empty[0]}"
        more = f" (and {len(empty) - 1} more of {len(values)})" if len(empty) > 1 else ""
        raise InputError(
            f"class {first}{more} has no training image, so this loss has no weight for it; leave the class out, or "
            "use a loss without class weights, such as softmax"
        )
    return values


def _non_negative(counts: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(counts, dtype=np.float64)
    if not values.size:
        raise ValueError("`counts` must not be empty")
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if wrong.size:
        raise ValueError(f"`counts` must be finite and not negative, got {wrong.flat[0]}")
    return values
