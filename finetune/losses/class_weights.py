"""The effective number of samples of a class and the class weights that follow from it.

Source: Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of Samples",
CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from finetune.losses.options import Beta


def class_counts(counts: ArrayLike, classes: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Training images of each class, checked: what every loss with a prior starts from.

    Args:
        counts: (C,) images of each class in the whole training set, never in a batch.
        classes: (C,) names for the message.

    Returns:
        (C,) float64, all finite and positive.

    Raises:
        ValueError: ``counts`` is not one-dimensional, is empty, or holds a negative or non-finite
            number, or ``classes`` has another length.
        InputError: A class has no image.
    """
    values = _non_negative(counts)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"counts must be one number a class, shape (C,), got shape {values.shape}")
    if classes is not None and len(classes) != len(values):
        raise ValueError(f"classes must name the {len(values)} classes of counts, got {len(classes)} names")
    empty = np.flatnonzero(values == 0)
    if len(empty):
        first = repr(classes[empty[0]]) if classes is not None else f"number {empty[0]}"
        more = f" (and {len(empty) - 1} more of {len(values)})" if len(empty) > 1 else ""
        raise InputError(
            f"class {first}{more} has no training image, so this loss has no weight for it; "
            "leave the class out, or use a loss without class weights: softmax, sigmoid or focal"
        )
    return values


def effective_number(counts: ArrayLike, beta: Beta) -> NDArray[np.float64]:
    """The effective number E_n = (1 − βⁿ)/(1 − β) of n samples (eq. 2 of the paper).

    It is computed as expm1(n·log β)/(β − 1), which keeps full precision as β → 1, where E_n → n,
    and for any n.

    Args:
        counts: Images, any shape; 0 has the effective number 0.
        beta: In [0, 1), or "auto".

    Returns:
        The shape of ``counts``, float64, between 0 and min(n, 1/(1 − β)).

    Raises:
        ValueError: A count is negative or not finite.
        InputError: ``beta`` is outside [0, 1).

    >>> round(float(effective_number(1000, beta=0.9999)), 1)
    951.7
    """
    values = _non_negative(counts)
    beta = automatic_beta(values) if beta == "auto" else beta
    if not isinstance(beta, Real) or not 0 <= beta < 1:
        raise InputError(f"beta must be in [0, 1), or 'auto', got {beta}")
    if beta == 0:  # every image of a class stands for the same one
        return np.asarray(values > 0, dtype=np.float64)
    beta = float(beta)  # a NumPy float16 would make the whole a float16
    return np.asarray(np.expm1(values * np.log(beta)) / (beta - 1))


def automatic_beta(counts: ArrayLike) -> float:
    """A β that follows from the counts: β = (N − 1)/N with N the largest class's count.

    The paper sets β = (N − 1)/N, N being the volume of a class, "the number of unique prototypes",
    shared by all classes for want of better knowledge (section 3). The largest class shows how many
    images of one class there can be, so N is taken to be its count: the weights of the rare classes
    are then close to inverse frequency, and the returns of the largest class have begun to diminish
    (its E_n is about 0.63·n). The rule is this project's choice, not the paper's, whose β is chosen
    for each dataset on a grid.

    >>> round(automatic_beta([500, 50, 5]), 6)
    0.998
    """
    largest = float(np.max(_non_negative(counts)))
    return 1 - 1 / max(largest, 1.0)


def class_balanced_weights(
    counts: ArrayLike, beta: Beta, *, classes: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Class weights ∝ 1/E_n, rescaled so that they sum to the number of classes.

    β = 0 gives ones; β → 1 gives inverse frequency.

    Args:
        counts: (C,) images of each class in the whole training set.
        beta: In [0, 1), or "auto".
        classes: (C,) names for the message about a class with no image.

    Returns:
        (C,) float64, positive, with the sum C.

    Raises:
        ValueError: ``counts`` is not a vector of non-negative numbers.
        InputError: A class has no image, or ``beta`` is outside [0, 1).

    >>> class_balanced_weights([1000, 10], beta=0.0)
    array([1., 1.])
    """
    inverse = 1 / effective_number(class_counts(counts, classes), beta)
    return inverse * (len(inverse) / inverse.sum())


def _non_negative(counts: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(counts, dtype=np.float64)
    if not values.size:
        raise ValueError("counts must not be empty")
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if wrong.size:
        raise ValueError(f"counts must be finite and not negative, got {wrong.flat[0]}")
    return values
