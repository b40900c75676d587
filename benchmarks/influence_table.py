"""What the networks of influence.py say: the influence of each class on each target, and what predicts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from recording import standard_error
from scipy.stats import spearmanr

#: Random splits of the networks into two halves.
SPLITS, SPLIT_SEED = 100, 0


def influences(figures: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C, T) mean figure (N, T) of the networks with each class less that of those without it; members are (N, C)."""
    inside = members.astype(np.float64)
    with_class = inside.T @ figures / inside.sum(axis=0)[:, None]
    without = (1 - inside).T @ figures / (1 - inside).sum(axis=0)[:, None]
    return with_class - without


def standard_errors(figures: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C, T) standard error of :func:`influences` over pairs of networks of complementary halves, 2k and 2k + 1.

    Within a pair the difference of the two networks is a draw of the influence, whichever of them has the class.
    """
    signs = np.where(members[::2], 1.0, -1.0)  # (P, C) whether the first of the pair has the class
    difference = figures[::2] - figures[1::2]
    pairs = len(difference)
    mean = signs.T @ difference / pairs
    square = np.square(difference).sum(axis=0) / pairs  # the signs are ±1
    return np.sqrt((square - np.square(mean)) / (pairs - 1))


def reliability(figures: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T,) how far the influences of all networks would agree with those of as many others.

    The mean rank correlation of the influences of two random halves of the pairs, stepped up to twice as many networks
    by Spearman and Brown's formula, 2r / (1 + r).
    """
    pairs, rng = len(figures) // 2, np.random.default_rng(SPLIT_SEED)
    found = []
    for _ in range(SPLITS):
        first = np.repeat(rng.permutation(pairs) < pairs // 2, 2)
        halves = [influences(figures[half], members[half]) for half in (first, ~first)]
        found.append(_correlations(*halves))
    r = np.mean(found, axis=0)
    return 2 * r / (1 + r)


def _correlations(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) rank correlation of two tables (C, T), column by column."""
    return np.array([spearmanr(a, b).statistic for a, b in zip(one.T, other.T, strict=True)])


def prediction(
    table: NDArray[np.float64], places: Mapping[str, NDArray[np.float64]], default: str
) -> dict[str, object]:
    """How well each strategy's order predicts the influences (C, T), and the default less each other one.

    ``places`` are the places (C, T) of the classes in the order of each strategy, the first one being 0.
    """
    found = {name: _correlations(-of, table) for name, of in places.items()}
    return {
        name: {
            "targets": values.tolist(),
            **_mean(values),
            **({} if name == default else {"default_less_this": _mean(found[default] - values)}),
        }
        for name, values in found.items()
    }


def _mean(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float | None]:
    """Mean and standard error over targets."""
    return {"mean": float(np.mean(values)), "error": standard_error(values)}
