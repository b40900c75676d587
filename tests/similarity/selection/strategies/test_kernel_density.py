"""Kernel density: against plain loops."""

import numpy as np
from scipy.spatial.distance import cdist

from similarity import select_classes


def test_shares_by_hand(target, sources):
    subset = select_classes([target], sources, classes=11, strategy="kernel-density", geometry="euclidean")
    names = [(bank.name, name) for bank in sources for name in bank.classes]
    squares = cdist(np.concatenate([bank.means for bank in sources]), target.means, "sqeuclidean")
    share = np.zeros(len(names))
    for j, count in enumerate(target.counts):
        kernel = np.exp(-squares[:, j] / squares[:, j].std())
        share += count / target.counts.sum() * kernel / kernel.sum()
    assert [(row.source, row.class_name) for row in subset.rows] == [names[i] for i in np.argsort(-share)]
    np.testing.assert_allclose([row.weight for row in subset.rows], np.sort(share)[::-1], rtol=1e-5)
