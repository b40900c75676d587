"""How often each class is drawn.

Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR
2020, section 3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finetune.losses.effective_number import Beta, effective_number


def class_probabilities(counts: ArrayLike, q: float) -> NDArray[np.float64]:
    """Class probabilities p_j ∝ n_j^q (Kang et al., eq. 1); a class with no image has none.

    Args:
        counts: (C,) images of each class.
        q: 1 draws each image alike, 0 each class alike, ½ is square-root sampling; any finite number.

    Returns:
        (C,) float64 with the sum 1.

    Raises:
        ValueError: ``counts`` holds no image, or ``q`` is not finite.

    >>> class_probabilities([90, 10, 0], q=1).round(6).tolist()
    [0.9, 0.1, 0.0]
    >>> class_probabilities([90, 10, 0], q=0).tolist()
    [0.5, 0.5, 0.0]
    """
    if not math.isfinite(q):
        raise ValueError(f"q must be a finite number, got {q}")
    values = np.asarray(counts, dtype=np.float64)
    present = values > 0
    if not present.any():
        raise ValueError("counts must hold at least one image")
    powers = np.zeros_like(values)
    logs = np.log(values[present])
    with np.errstate(over="ignore"):  # towards −∞: the largest power is 1, whatever q is
        powers[present] = np.exp(q * (logs - (logs.max() if q > 0 else logs.min())))
    return powers / powers.sum()


def progressive_probabilities(counts: ArrayLike, progress: float) -> NDArray[np.float64]:
    """Progressively balanced: (1 − t/T)·instance + (t/T)·class (Kang et al., eq. 2).

    Args:
        counts: (C,) images of each class.
        progress: t/T in [0, 1].

    Returns:
        (C,) float64 with the sum 1.

    Raises:
        ValueError: ``progress`` is out of range.
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress must be in [0, 1], got {progress}")
    return (1 - progress) * class_probabilities(counts, 1.0) + progress * class_probabilities(counts, 0.0)


def effective_probabilities(counts: ArrayLike, beta: Beta) -> NDArray[np.float64]:
    """Class probabilities p_j ∝ n_j/E_{n_j}: each image as often as the class-balanced loss weighs it.

    β = 0 is instance sampling, β → 1 class-balanced sampling.

    Args:
        counts: (C,) images of each class.
        beta: In [0, 1), or "auto".

    Returns:
        (C,) float64 with the sum 1.

    Raises:
        InputError: ``beta`` is outside [0, 1).
    """
    values = np.asarray(counts, dtype=np.float64)
    numbers = effective_number(values, beta)
    odds = np.divide(values, numbers, out=np.zeros_like(values), where=values > 0)
    return odds / odds.sum()
