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
    places, cosine, found = zip(*blocks, strict=True)
    return [int(of[0]) for of in places], np.concatenate(cosine), np.concatenate(found)


def test_all_with_all_gives_the_nearest_of_the_other_points(stored):
    points, rows = stored
    _, cosine, found = whole(search.NeighbourSearch(rows, 0.9).neighbours_of_all(5))
    assert cosine.shape == found.shape == (3000, 6)
    similar = points @ points.T
    np.fill_diagonal(similar, -np.inf)
    order = np.argsort(-cosine, axis=1)[:, :5]
    np.testing.assert_allclose(np.take_along_axis(cosine, order, 1), -np.sort(-similar, axis=1)[:, :5], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(similar, found.clip(0), 1)[found >= 0], cosine[found >= 0], atol=1e-5)


def test_lists_and_codes_miss_hardly_a_neighbour_and_give_exact_similarities(stored, monkeypatch):
    points, rows = stored
    monkeypatch.setattr(search, "EXACT", 100)
    monkeypatch.setattr(search, "BLOCK", 256)
    starts, cosine, found = whole(search.NeighbourSearch(rows, 0.8).neighbours_of_all(5))
    assert starts == list(range(0, 3000, 256))
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
    all_at_once = list(search.NeighbourSearch(rows, 0.8, seed=3).neighbours_of_all(5))
    for before, after in zip(
        all_at_once[4:], search.NeighbourSearch(rows, 0.8, seed=3).neighbours_of_all(5, first=4 * 256), strict=True
    ):
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("width", "clusters", "images", "noise"), [(512, 80, 6000, 0.25), (64, 20, 3000, 0.3)])
def test_copies_inside_tight_clusters_are_found(width, clusters, images, noise, tmp_path, monkeypatch):
    """Wide points, whose codes lose much of them, and narrow ones, whose codes order a cluster's points badly."""
    monkeypatch.setattr(search, "EXACT", 100)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((clusters, width))[rng.integers(0, clusters, images)]
    points += 0.5 * rng.standard_normal(points.shape)
    points[-300:] = points[:300] + rng.uniform(0, noise, (300, 1)) * rng.standard_normal((300, width))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    with closing(KeptFeatures(tmp_path / "points", width, scratch=True)) as kept:
        kept.append(points)
        _, cosine, found = whole(search.NeighbourSearch(kept.array(), 0.9).neighbours_of_all(8))
    assert cosine.shape == found.shape == (images, 9)
    copies = [(i, images - 300 + i) for i in range(300) if points[i] @ points[images - 300 + i] >= 0.9]
    met = [j in found[i] or i in found[j] for i, j in copies]
    assert len(copies) > 200 and np.mean(met) >= 0.95


def test_the_nearest_candidates_are_kept():
    rng = np.random.default_rng(0)
    cosine, found = rng.standard_normal((40, 12)).astype(np.float32), rng.integers(0, 99, (40, 12))
    cosine[rng.random((40, 12)) < 0.7] = -np.inf
    kept, places = search._nearest(cosine, found, 5)
    for row in range(40):
        assert sorted(kept[row]) == sorted(sorted(cosine[row])[-5:])
        expected = {(a, b) for a, b in zip(cosine[row], found[row], strict=True)}
        assert set(zip(kept[row], places[row], strict=True)) <= expected


@pytest.mark.parametrize("exact", [100, 10_000])
def test_more_neighbours_of_some_points(stored, exact, monkeypatch):
    points, rows = stored
    monkeypatch.setattr(search, "EXACT", exact)
    monkeypatch.setattr(search, "BLOCK", 64)
    places = np.random.default_rng(0).permutation(3000)[:200]
    found_places, _, found = zip(*search.NeighbourSearch(rows, 0.5).neighbours_of(places, 300), strict=True)
    np.testing.assert_array_equal(np.concatenate(found_places), places)
    similar = points[places] @ points.T
    similar[np.arange(200), places] = -np.inf
    expected = [np.flatnonzero(of >= 0.6) for of in similar]
    met = [len(np.intersect1d(near, of)) for near, of in zip(np.concatenate(found), expected, strict=True)]
    assert max(map(len, expected)) > 8 and sum(met) >= 0.95 * sum(map(len, expected))
