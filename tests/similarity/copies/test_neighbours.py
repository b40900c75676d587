"""Neighbours by lists and codes, against those that a comparison of all with all finds."""

from contextlib import closing

import numpy as np
import pytest

from features.kept_features import KeptFeatures
from similarity.copies import neighbours as search


@pytest.fixture(params=[64, 65, 30])
def stored(request, tmp_path):
    """3,000 stored points of length 1 in some clusters, the last 300 of them near the first 300."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((50, request.param))[rng.integers(0, 50, 3000)] + rng.standard_normal(
        (3000, request.param)
    )
    points[-300:] = points[:300] + rng.uniform(0, 0.5, (300, 1)) * rng.standard_normal((300, request.param))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    with closing(KeptFeatures(tmp_path / "points", request.param, scratch=True)) as kept:
        kept.append(points)
        yield points, kept.array()


def whole(blocks):
    starts, cosine, found = zip(*blocks, strict=True)
    return starts, np.concatenate(cosine), np.concatenate(found)


def test_all_with_all_gives_the_nearest_of_the_other_points(stored):
    points, rows = stored
    _, cosine, found = whole(search.neighbours(rows, 5, 0.9))
    similar = points @ points.T
    np.fill_diagonal(similar, -np.inf)
    order = np.argsort(-cosine, axis=1)[:, :5]
    np.testing.assert_allclose(np.take_along_axis(cosine, order, 1), -np.sort(-similar, axis=1)[:, :5], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(similar, found.clip(0), 1)[found >= 0], cosine[found >= 0], atol=1e-5)


def test_lists_and_codes_miss_hardly_a_neighbour_and_give_exact_similarities(stored, monkeypatch):
    points, rows = stored
    monkeypatch.setattr(search, "EXACT", 100)
    monkeypatch.setattr(search, "BLOCK", 256)
    starts, cosine, found = whole(search.neighbours(rows, 5, 0.8))
    assert starts == tuple(range(0, 3000, 256))
    similar = points @ points.T
    np.testing.assert_allclose(np.take_along_axis(similar, found.clip(0), 1)[found >= 0], cosine[found >= 0], atol=1e-5)
    assert not (found == np.arange(3000)[:, None]).any()
    assert np.isneginf(cosine[found < 0]).all()
    copies = [(i, 2700 + i) for i in range(300) if similar[i, 2700 + i] >= 0.8]
    met = [j in found[i] or i in found[j] for i, j in copies]
    assert len(copies) > 200 and np.mean(met) >= 0.99


def test_a_search_goes_on_where_it_was_left(stored, monkeypatch):
    _, rows = stored
    monkeypatch.setattr(search, "EXACT", 100)
    monkeypatch.setattr(search, "BLOCK", 256)
    all_at_once = list(search.neighbours(rows, 5, 0.8, seed=3))
    for before, after in zip(all_at_once[4:], search.neighbours(rows, 5, 0.8, seed=3, first=4 * 256), strict=True):
        assert before[0] == after[0]
        np.testing.assert_array_equal(before[1], after[1])
