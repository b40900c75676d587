"""Scores of single classes against the transport solver and a plain loop."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from similarity import class_scores, emd
from similarity.distances import neighbour_squared_distances
from similarity.selection.pool import NEIGHBOURS


def test_a_classes_score_is_its_earth_movers_distance(target, sources):
    scores = class_scores(sources[0].means, target.means, target.counts)
    alone = [emd(mean[None], np.ones(1), target.means, target.counts).value for mean in sources[0].means]
    np.testing.assert_allclose(scores, alone, rtol=1e-12)


def test_local_scaling_against_a_plain_loop(target, sources):
    points = np.concatenate([bank.means for bank in sources]).astype(float)
    scores = class_scores(points, target.means, target.counts, neighbour_squared_distances(points, NEIGHBOURS))
    within = cdist(points, points)
    for i, score in enumerate(scores):
        own = sorted(within[i][j] ** 2 for j in range(len(points)) if j != i)[:NEIGHBOURS]
        to_target = np.average(cdist(points[i : i + 1], target.means)[0] ** 2, weights=target.counts)
        assert score == pytest.approx(2 * to_target - sum(own) / len(own), rel=1e-10)


def test_on_the_unit_sphere_local_scaling_orders_as_csls(target, sources):
    points = np.concatenate([bank.means for bank in sources]).astype(float)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    queries = target.means / np.linalg.norm(target.means, axis=1, keepdims=True)
    scores = class_scores(points, queries, target.counts, neighbour_squared_distances(points, 3))
    cosines = points @ points.T - 2 * np.eye(len(points))
    csls = 2 * points @ queries.T @ (target.counts / target.counts.sum()) - np.sort(cosines, axis=1)[:, -3:].mean(
        axis=1
    )
    np.testing.assert_allclose(scores, 2 - 2 * csls, atol=1e-6)
