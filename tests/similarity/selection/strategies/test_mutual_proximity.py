"""Mutual proximity: against plain loops, its laws, and kinds of targets."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from similarity import select_classes
from similarity.selection.strategies import mutual_proximity as module
from similarity.selection.strategies.mutual_proximity import most_serving, mutual_proximity


def by_loops(x, y, weights):
    """The definition, one pair at a time."""
    floor = 2e-3 * np.median(np.square(np.vstack([x, y]) - np.median(x, axis=0)).sum(axis=1))
    between = [[np.log(np.sum((a - b) ** 2) + floor) for k, b in enumerate(x) if k != i] for i, a in enumerate(x)]
    logs = np.array([[np.log(np.sum((a - b) ** 2) + floor) for b in y] for a in x])
    between, columns = ([np.maximum(row, np.sort(row)[1]) for row in rows] for rows in (between, logs.T))

    def deviations(rows):
        average = np.concatenate([np.square(row - np.mean(row)) for row in rows]).mean()
        return [np.sqrt((len(row) * np.var(row) + 10 * average) / (len(row) + 10)) for row in rows]

    own, theirs = deviations(between), deviations(columns)
    evidence = np.array(
        [
            [
                -(logs[i, j] - np.mean(between[i])) / own[i] - (logs[i, j] - columns[j].mean()) / theirs[j]
                for j in range(len(y))
            ]
            for i in range(len(x))
        ]
    )
    scores = [-np.mean(sorted(row)[-2:]) for row in evidence]
    share = sum(w / sum(weights) * np.exp(e) / np.exp(e).sum() for w, e in zip(weights, evidence.T, strict=True))
    return scores, share


@pytest.mark.parametrize("n_targets", [1, 2, 5])
@pytest.mark.parametrize("offset", [0, 100])
def test_scores_and_shares_by_loops(n_targets, offset, monkeypatch):
    rng = np.random.default_rng(n_targets)
    x, y = rng.standard_normal((30, 6)) + offset, rng.standard_normal((n_targets, 6)) + offset
    weights = rng.integers(1, 9, n_targets)
    monkeypatch.setattr(module, "_BLOCK", 64)  # several blocks
    scores, served = mutual_proximity(x, y, weights)
    expected = by_loops(x, y, weights)
    np.testing.assert_allclose(scores, expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(served, expected[1], rtol=1e-3)


@pytest.mark.parametrize("block", [7, 1 << 20])
def test_those_that_serve_a_class_most_are_the_chosen_ones_of_the_largest_share(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(30, 6)), rng.normal(size=(4, 6))
    chosen = rng.random(30) < 0.4
    places, shares = most_serving(x, y, chosen, 3)
    # The share of one target class is that of a target of which only this class has weight.
    for j in range(len(y)):
        each = by_loops(x, y, np.eye(len(y))[j])[1]
        expected = [i for i in np.argsort(-each) if chosen[i]][:3]
        assert places[j].tolist() == expected
        np.testing.assert_allclose(shares[j], each[expected], rtol=1e-4)
    some, of_some = most_serving(x, y, chosen, 3, first=2)
    assert some.tolist() == places[:2].tolist()
    np.testing.assert_allclose(of_some, shares[:2], rtol=1e-5)
    every, of_all = most_serving(x, y, np.ones(30, dtype=bool), 99)
    assert every.shape == (4, 30)
    np.testing.assert_allclose(of_all.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("n_sources", [30, 300, 3000])  # above 2,048 a sample stands for all
def test_a_copy_of_a_class_hardly_moves_it(n_sources):
    rng = np.random.default_rng(n_sources)
    for _ in range(5):
        kin, others = 0.8 * rng.standard_normal((10, 32)), rng.standard_normal((n_sources - 10, 32))
        kin += 2 * rng.standard_normal(32)
        x, y = np.vstack([kin, others]), kin[:4] + 0.5 * rng.standard_normal((4, 32))
        scores, served = mutual_proximity(x, y, np.ones(4))
        best = int(scores.argmin())
        doubled = np.vstack([x, x[best] + 1e-3 * rng.standard_normal(32)])
        again, shared = mutual_proximity(doubled, y, np.ones(4))
        assert {best, n_sources} <= set(np.argsort(again)[:5])
        assert again[best] == pytest.approx(again[-1], rel=0.1)
        assert shared[[best, -1]].sum() == pytest.approx(served[best], rel=0.2)


def test_one_far_class_does_not_set_the_scale():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((60, 16)), rng.standard_normal((5, 16))
    x[:5] = y + 0.2 * rng.standard_normal((5, 16))
    for far in (10, 30, 100):
        x[-1] = far
        scores, served = mutual_proximity(x, y, np.ones(5))
        assert set(np.argsort(scores)[:5]) == set(range(5))
        assert served[:5].sum() > 0.8


def test_scale_and_order_do_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((6, 5))
    scores, served = mutual_proximity(x, y, np.ones(6))
    rows, columns = rng.permutation(40), rng.permutation(6)
    for points in ((1e25 * x, 1e25 * y), (1e-25 * x, 1e-25 * y), (x + 3, y + 3)):
        again = mutual_proximity(*points, np.ones(6))
        np.testing.assert_allclose(again, (scores, served), rtol=1e-4, atol=1e-5)
    again = mutual_proximity(x[rows], y[columns], np.ones(6))
    np.testing.assert_allclose(again, (scores[rows], served[rows]), rtol=1e-4, atol=1e-5)


def test_classes_that_cannot_be_told_apart_are_equal():
    scores, served = mutual_proximity(np.full((5, 3), 0.1), np.eye(3), np.ones(3))
    np.testing.assert_allclose(scores, 0, atol=1e-6)
    np.testing.assert_allclose(served, 1 / 5, rtol=1e-5)


def test_a_target_class_without_weight_does_not_count():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 5)), rng.standard_normal((3, 5))
    found = mutual_proximity(x, y, np.array([1, 0, 3]))
    np.testing.assert_array_equal(found, mutual_proximity(x, y[[0, 2]], np.array([1, 3])))


def test_a_sample_of_references_stands_for_all(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3000, 16)), rng.standard_normal((5, 16))
    x[:5] = y + 0.3 * rng.standard_normal((5, 16))
    sampled = mutual_proximity(x, y, np.ones(5))
    monkeypatch.setattr(module, "EXACT", 3000)
    whole = mutual_proximity(x, y, np.ones(5))
    assert set(np.argsort(sampled[0])[:5]) == set(np.argsort(whole[0])[:5]) == set(range(5))
    assert np.corrcoef(sampled[0], whole[0])[0, 1] > 0.99
    assert np.abs(sampled[1] - whole[1]).max() < 0.02


def test_a_hub_and_a_class_far_from_everything_come_after_those_that_serve(make_bank):
    rng = np.random.default_rng(3)
    far = 6 * rng.standard_normal((30, 16))
    useful = far[:4] + rng.standard_normal((4, 16))
    source = make_bank(np.vstack([useful, np.zeros((1, 16)), 30 * np.ones((1, 16)), far[10:]]))
    target = make_bank(far[:4], dataset="folder:target")
    rows = select_classes([target], [source], classes=5, geometry="euclidean").rows
    assert {row.class_name for row in rows[:4]} == {"c0", "c1", "c2", "c3"}


def test_both_kinds_of_a_target_are_served(make_bank):
    """Nine target classes of one kind, three of another; ten source classes of each, and others."""
    rng = np.random.default_rng(4)
    first, second = 5 * rng.standard_normal((2, 32))

    def kind(centre, n):
        return centre + rng.standard_normal((n, 32))

    target = make_bank(np.vstack([kind(first, 9), kind(second, 3)]), dataset="folder:birds-and-cars")
    others = np.vstack([kind(5 * rng.standard_normal(32), 10) for _ in range(8)])
    source = make_bank(np.vstack([kind(first, 10), kind(second, 10), others]))
    subset = select_classes([target], [source], geometry="cosine")
    chosen = {int(row.class_name[1:]): row.weight for row in subset.rows}
    assert set(chosen) <= set(range(20))
    of_first = sum(weight for i, weight in chosen.items() if i < 10)
    assert of_first == pytest.approx(0.9 * 9 / 12, abs=0.1)  # by their shares of the target's images
    assert sum(i >= 10 for i in chosen) >= 3
    ten = select_classes([target], [source], classes=10, geometry="cosine").rows
    assert 1 <= sum(int(row.class_name[1:]) >= 10 for row in ten) <= 5


def test_classes_of_few_images_keep_their_places(make_bank):
    """Each class is drawn with 100 images, and again with 1 to 100: imbalance 100, by lot."""
    rng = np.random.default_rng(5)
    kinds = np.repeat(2 * rng.standard_normal((12, 40)), 10, axis=0)
    truth = kinds + rng.standard_normal(kinds.shape)
    target = make_bank(truth[:20:2] + 0.5 * rng.standard_normal((10, 40)), dataset="folder:target")
    counts = np.round(100 * 100 ** (-np.arange(120) / 119)).astype(int)[rng.permutation(120)]

    def ranks(strategy, images):
        means = truth + 5 * rng.standard_normal(truth.shape) / np.sqrt(images)[:, None]
        source = make_bank(means, images)
        rows = select_classes([target], [source], classes=120, strategy=strategy, geometry="centred").rows
        return np.argsort([int(row.class_name[1:]) for row in rows])

    few = counts <= 5
    moved, near = {}, {}
    for strategy in ("mutual-proximity", "local-scaling", "nearest"):
        full, thin = ranks(strategy, np.full(120, 100)), ranks(strategy, counts)
        moved[strategy] = abs((thin - full)[few].mean()) / 120
        near[strategy] = spearmanr(full, thin).statistic
    assert moved["mutual-proximity"] < 0.06 < moved["local-scaling"]
    assert near["mutual-proximity"] >= max(near.values()) - 0.05
