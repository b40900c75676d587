"""A measure beside measured accuracy."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import weightedtau


def rank_correlation(scores: ArrayLike, truth: ArrayLike, *, direction: Literal["higher", "lower"] = "higher") -> float:
    """Kendall's weighted tau: whether the order by a measure is that by accuracy, the best counting most.

    Exchanges weigh 1/(rank + 1) of both, added, averaged over the ranks by either side (Vigna, WWW 2015), as papers
    on transferability report it.

    Args:
        scores: (M,) of models or sources, at least two.
        truth: (M,) their accuracy after transfer.
        direction: Which scores promise better transfer: see :class:`similarity.measures.Measure`.

    Returns:
        −1 to 1; 1 for the same order. NaN where one side has one value throughout, which is no order.

    Raises:
        ValueError: The sides differ in length, are shorter than two or not finite, or ``direction`` is neither.

    >>> round(rank_correlation([1.0, 2.0, 3.0], [0.5, 0.6, 0.9]), 3)
    1.0
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"scores and truth must be as many numbers, at least 2, got shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("scores and truth must be finite, got NaN or infinity")
    if direction not in ("higher", "lower"):
        raise ValueError(f"direction must be 'higher' or 'lower', got {direction!r}")
    if min(len(np.unique(x)), len(np.unique(y))) == 1:
        return float("nan")
    return float(weightedtau(x if direction == "higher" else -x, y).statistic)
