"""Agreement of a measure with the accuracy after transfer."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import weightedtau


def rank_correlation(scores: ArrayLike, truth: ArrayLike, *, direction: Literal["higher", "lower"] = "higher") -> float:
    """Kendall's weighted τ between a measure and accuracy, the usual figure in papers on transferability.

    An exchange of two items has the additive hyperbolic weight 1/(r + 1) + 1/(s + 1) of their ranks r and s, so the
    best items count most; τ is averaged over ranking by either side (Vigna, WWW 2015).

    Args:
        scores: (M,) values of the measure for models or sources, at least two.
        truth: (M,) their accuracies after transfer.
        direction: Which scores predict better transfer: see :class:`similarity.measures.Measure`.

    Returns:
        −1 to 1; 1 for the same order. NaN if all values of one side are equal.

    Raises:
        ValueError: The lengths differ or are below two, a value is not finite, or ``direction`` is unknown.

    >>> round(rank_correlation([1.0, 2.0, 3.0], [0.5, 0.6, 0.9]), 3)
    1.0
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"scores and truth must have one length, at least 2, got shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("scores and truth must be finite, got NaN or infinity")
    if direction not in ("higher", "lower"):
        raise ValueError(f"direction must be 'higher' or 'lower', got {direction!r}")
    if min(len(np.unique(x)), len(np.unique(y))) == 1:
        return float("nan")
    return float(weightedtau(x if direction == "higher" else -x, y).statistic)
