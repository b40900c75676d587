"""What the networks of influence.py say: the influence of each class on each target, and what predicts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recording import standard_error
from scipy.stats import spearmanr

#: Random splits of the blocks into two halves.
SPLITS, SPLIT_SEED = 100, 0


def influences(figures: NDArray[np.float64], members: NDArray[np.bool_], parts: int) -> NDArray[np.float64]:
    """(C, T) influence of each class: the figure with it less the mean without it, averaged over the blocks.

    Figures are (N, T), members (N, C), and ``parts`` the networks of a block, one after the other.
    """
    return np.mean(_of_blocks(figures, members, parts), axis=0)


def standard_errors(figures: NDArray[np.float64], members: NDArray[np.bool_], parts: int) -> NDArray[np.float64]:
    """(C, T) standard error of :func:`influences` over the blocks."""
    of_blocks = _of_blocks(figures, members, parts)
    return of_blocks.std(axis=0, ddof=1) / np.sqrt(len(of_blocks))


def _of_blocks(figures: NDArray[np.float64], members: NDArray[np.bool_], parts: int) -> NDArray[np.float64]:
    """(B, C, T) the figure of the network with each class less the mean of the others of its block."""
    blocks = figures.reshape(-1, parts, figures.shape[1])
    inside = np.einsum("bpc,bpt->bct", members.reshape(-1, parts, members.shape[1]).astype(float), blocks)
    return inside - (blocks.sum(axis=1, keepdims=True) - inside) / (parts - 1)


def reliability(figures: NDArray[np.float64], members: NDArray[np.bool_], parts: int) -> NDArray[np.float64]:
    """(T,) how far the influences of all networks would agree with those of as many others.

    The mean rank correlation of the influences of two random halves of the blocks, stepped up to twice as many networks
    by Spearman and Brown's formula, 2r / (1 + r).
    """
    of_blocks, rng = _of_blocks(figures, members, parts), np.random.default_rng(SPLIT_SEED)
    found = []
    for _ in range(SPLITS):
        first = rng.permutation(len(of_blocks)) < len(of_blocks) // 2
        found.append(_correlations(of_blocks[first].mean(axis=0), of_blocks[~first].mean(axis=0)))
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


def left_out(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> dict[str, Any]:
    """What leaving out each kind of classes gains over leaving out as many at random, target by target."""

    def figures(kind: str, target: str) -> list[float]:
        return [float(row[target]) for row in rows if row["left_out"] == kind and row["for"] in ("", target)]

    found = {}
    for kind in ("none", "worst", "last"):
        gains = {
            name: float(np.mean(figures(kind, name)) - np.mean(figures("random", name)))
            for name in names
            if figures(kind, name) and figures("random", name)
        }
        if gains:
            found[kind] = {"targets": gains, **_mean(list(gains.values()))}
    return found


def show(design: str, found: Mapping[str, Any]) -> None:
    """Print the reliability of a design's influences, and the rank correlation of every order with them."""
    print(f"\n{found['networks']} networks on {design}; reliability of the influences:")
    print("  ".join(f"{name} {value:.2f}" for name, value in found["reliability"].items()))
    print(f"{'rank correlation with influence':<42}{'mean':>14}{'default less this':>22}")
    for name, row in sorted(found["predicted_by"].items(), key=lambda entry: -entry[1]["mean"]):
        less = row.get("default_less_this")
        words = "" if less is None else f"{less['mean']:+.3f} ± {less['error']:.3f}"
        print(f"{name:<42}{row['mean']:+8.3f} ± {row['error']:.3f}{words:>20}")


def _mean(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float | None]:
    """Mean and standard error over targets."""
    return {"mean": float(np.mean(values)), "error": standard_error(values)}
