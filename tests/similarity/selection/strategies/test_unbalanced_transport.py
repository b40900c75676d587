"""Unbalanced transport: against the scaling iteration of the paper, written out."""

import numpy as np
import pytest

from similarity import select_classes


@pytest.mark.parametrize("geometry", ["euclidean", "cosine"])
def test_row_sums_of_the_plan(target, sources, geometry):
    subset = select_classes([target], sources, classes=11, strategy="unbalanced-transport", geometry=geometry)
    names = [(bank.name, name) for bank in sources for name in bank.classes]
    x, y = np.concatenate([bank.means for bank in sources]).astype(float), target.means.astype(float)
    cosine = x @ y.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    kernel = np.exp(-(1 - cosine) / 0.1)
    a, b = np.full(11, 1 / 11), target.counts / target.counts.sum()
    u, v = np.ones(11), np.ones(4)
    for _ in range(5000):
        u = (a / (kernel @ v)) ** (1 / 2)
        v = (b / (kernel.T @ u)) ** (100 / 101)
    mass = u * (kernel @ v)
    np.testing.assert_allclose(
        [row.weight for row in subset.rows], np.sort(mass / mass.sum())[::-1], rtol=1e-3
    )  # the solver stops at a change of 1e-6
    assert [(row.source, row.class_name) for row in subset.rows] == [names[i] for i in np.argsort(-mass)]
