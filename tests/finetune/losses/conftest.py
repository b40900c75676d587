"""A batch, and an oracle for every loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (8, 5) of moderate size, class indices (8,), and class proportions (8, 5)."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (8, 5)), rng.integers(0, 5, 8), rng.dirichlet(np.ones(5), 8)


def by_the_papers(
    name: str,
    counts: np.ndarray,
    z: np.ndarray,
    y: np.ndarray,
    *,
    beta: float = 0.0,
    gamma: float = 0.0,
    tau: float = 0.0,
    normalization: str = "paper",
) -> float:
    """The loss sample by sample and class by class, from the papers, with plain exponentials."""
    n = counts.astype(float)
    weights = np.ones(5)
    if name.startswith("cb-"):
        inverse = [(1 - beta) / (1 - beta**k) for k in n]
        weights = np.array(inverse) * 5 / sum(inverse)
    total, total_weight = 0.0, 0.0
    for row, label in zip(z, y, strict=True):
        total_weight += weights[label]
        if name.endswith("softmax") or name in ("ldam", "ldam-drw", "logit-adjusted"):
            row = row.copy()
            if name == "balanced-softmax":
                row += np.log(n)
            elif name == "logit-adjusted":
                row += tau * np.log(n / n.sum())
            elif name.startswith("ldam"):
                margins = 1 / n**0.25
                row[label] -= margins[label] * 0.5 / margins.max()
                row *= 30
            total += weights[label] * -np.log(np.exp(row[label]) / np.exp(row).sum())
            continue
        for c, value in enumerate(row):
            hot = float(c == label)
            p = 1 / (1 + np.exp(-value))
            cross_entropy = -(hot * np.log(p) + (1 - hot) * np.log(1 - p))
            modulator = np.exp(-gamma * hot * value - gamma * np.log(1 + np.exp(-value)))
            total += weights[label] * cross_entropy * (modulator if name.endswith("focal") else 1)
    return total / (total_weight if normalization == "pytorch" else len(y))


@pytest.fixture
def oracle() -> Callable[..., float]:
    return by_the_papers
