"""Nearest class: against plain loops."""

import numpy as np
from scipy.spatial.distance import cdist

from similarity import select_classes


def test_the_distance_to_the_nearest_target_class_and_the_classes_served(target, sources):
    subset = select_classes([target], sources, classes=11, strategy="nearest-class", geometry="euclidean")
    means = {(bank.name, name): mean for bank in sources for name, mean in zip(bank.classes, bank.means, strict=True)}
    distances = cdist(np.stack(list(means.values())), target.means)
    by_hand = dict(zip(means, distances.min(axis=1), strict=True))
    assert [(row.source, row.class_name) for row in subset.rows] == sorted(by_hand, key=by_hand.__getitem__)
    served = dict.fromkeys(means, 0.0)
    for j, i in enumerate(distances.argmin(axis=0)):
        served[list(means)[i]] += target.counts[j] / target.counts.sum()
    for row in subset.rows:
        key = row.source, row.class_name
        np.testing.assert_allclose([row.distance, row.weight], [by_hand[key], served[key]], rtol=1e-6)
