"""Selections from means that are drawn again."""

from dataclasses import replace

import numpy as np
import pytest

import similarity.selection.pool as pool_module
import similarity.selection.stability as stability_module
import similarity.selection.strategies.coverage as coverage_module
from features.infrastructure.errors import InputError
from similarity import STRATEGIES, select_classes, selection_stability
from similarity.selection.choosing import select_from
from similarity.selection.limits import Sizes
from similarity.selection.pool import SourcePool
from similarity.selection.stability import stability_from

NEAREST = {"strategy": "nearest", "geometry": "euclidean"}


@pytest.fixture
def banks(make_bank):
    """A target at 0; sources at 1, 2, 2.05 and 9, of deviation 1."""
    target = make_bank([[0.0], [0.1]], [10_000, 10_000], dataset="folder:target")
    return lambda n: ([target], [make_bank([[1.0], [2.0], [2.05], [9.0]], [n] * 4)])


def test_what_lies_close_is_a_coin_toss_and_what_lies_apart_is_not(banks):
    found = selection_stability(*banks(400), replicates=200, classes=2, **NEAREST)
    share = {row.class_name: row.share for row in found.classes}
    assert share["c0"] == 1
    assert 0.5 < share["c1"] < 0.9  # 0.05 apart, each with a deviation of 1/20: chosen Φ(0.71) = 76 % of the time
    assert share["c1"] + share["c2"] == pytest.approx(1)
    assert "c3" not in share
    assert [(row.class_name, row.chosen) for row in found.classes] == [("c0", True), ("c1", True), ("c2", False)]
    # Two of two the same: 1; one of three: 1/3.
    assert found.jaccard == pytest.approx(share["c1"] + (1 - share["c1"]) / 3)
    assert found.subset.rows == select_classes(*banks(400), classes=2, **NEAREST).rows


def test_many_images_change_nothing(banks):
    found = selection_stability(*banks(10**8), replicates=5, classes=2, **NEAREST)
    assert found.jaccard == 1
    assert [row.share for row in found.classes] == [1, 1]


def test_all_and_random_do_not_depend_on_the_means(banks):
    assert selection_stability(*banks(5), replicates=3, **{**NEAREST, "strategy": "all"}).jaccard == 1
    assert selection_stability(*banks(5), replicates=3, classes=2, **{**NEAREST, "strategy": "random"}).jaccard == 1


def test_seeded(banks):
    def of(seed):
        return selection_stability(*banks(100), 30, seed, classes=2, **NEAREST)

    assert of(0).classes == of(0).classes
    assert of(0).jaccard == of(0).jaccard
    assert of(0).classes != of(2).classes
    assert (of(1).seed, of(1).replicates) == (1, 30)


def sampled(rng, means, counts, dataset, make_bank):
    """A bank of images around true means, deviation 1, and the same bank with the true means."""
    features = [mean + rng.standard_normal((n, len(mean))) for mean, n in zip(means, counts, strict=True)]
    centred = np.concatenate([of - of.mean(axis=0) for of in features])
    bank = make_bank(
        np.stack([of.mean(axis=0) for of in features]),
        counts,
        variances=np.stack([of.var(axis=0) for of in features]),
        within=centred.T @ centred / len(centred),
        dataset=dataset,
    )
    return bank, replace(bank, means=means.astype(np.float32))


@pytest.mark.parametrize(("geometry", "over"), [("euclidean", 0.06), ("whitened", 0.1)])
def test_overlap_is_that_with_what_the_true_means_give(make_bank, geometry, over):
    """Long-tailed sources of 3 to 200 images, targets of 10. Noise around the sample means would say 0.3 more."""
    claimed, real = [], []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        means = 0.3 * rng.standard_normal((150, 32))
        aims = means[rng.permutation(150)[:10]] + 0.15 * rng.standard_normal((10, 32))
        counts = np.exp(rng.uniform(np.log(3), np.log(200), 150)).astype(int)
        source, true_source = sampled(rng, means, counts, "folder:source", make_bank)
        target, true_target = sampled(rng, aims, np.full(10, 10), "folder:target", make_bank)
        options = {"classes": 20, "strategy": "nearest", "geometry": geometry}
        found = selection_stability([target], [source], 10, seed, **options)
        truth = {row.class_name for row in select_classes([true_target], [true_source], **options).rows}
        ours = {row.class_name for row in found.subset.rows}
        claimed.append(found.jaccard)
        real.append(len(ours & truth) / len(ours | truth))
    assert -0.05 < np.mean(claimed) - np.mean(real) < over


@pytest.mark.parametrize("noisy", ["target", "source"])
def test_targets_and_sources_are_both_drawn(make_bank, noisy):
    """Sources on both sides of the target: which one is nearer hangs on either."""
    images = {"target": 10**9, "source": 10**9, noisy: 5}
    target = make_bank([[0.01]], [images["target"]], dataset="folder:target")
    source = make_bank([[-1.0], [1.0]], [images["source"]] * 2)
    found = selection_stability([target], [source], 200, classes=1, **NEAREST)
    assert 0.4 < found.classes[0].share < 0.65


def test_one_image_a_class_borrows_or_is_refused(make_bank):
    rng = np.random.default_rng(0)
    none = {"variances": np.zeros((6, 4)), "within": np.zeros((4, 4))}
    single = make_bank(rng.standard_normal((6, 4)), [1] * 6, **none)
    known = make_bank(rng.standard_normal((6, 4)), [9] * 6, dataset="folder:target")
    assert selection_stability([known], [single], 20, classes=2, **NEAREST).jaccard < 0.9
    alone = make_bank(rng.standard_normal((6, 4)), [1] * 6, dataset="folder:target", **none)
    with pytest.raises(InputError, match="`resample`: every class has one image"):
        selection_stability([alone], [single], 20, classes=2, **NEAREST)


@pytest.fixture
def calls(monkeypatch):
    """Calls of fit_geometry, of the selection and of the certificate."""
    counted = {"fit_geometry": 0, "select_from": 0, "certify": 0}

    def count(module, name):
        real = getattr(module, name)

        def counting(*args, **options):
            counted[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(module, name, counting)

    count(pool_module, "fit_geometry")
    count(stability_module, "select_from")
    count(coverage_module, "certify")
    return counted


def test_nothing_is_fitted_selected_or_certified_twice(banks, calls):
    found = selection_stability(*banks(9), 4, geometry="whitened", classes=2, strategy="coverage")
    assert calls == {"fit_geometry": 1, "select_from": 1 + 4, "certify": 1}

    targets, sources = banks(9)
    pool = SourcePool.of(targets, sources, "whitened")
    options = STRATEGIES["coverage"], Sizes(classes=2)
    subset = select_from(pool, targets, *options)
    calls.update(dict.fromkeys(calls, 0))
    again = stability_from(pool, targets, subset, *options, replicates=4)
    assert calls == {"fit_geometry": 0, "select_from": 4, "certify": 0}
    assert again == found and again.subset is subset


def test_default_options_and_what_is_refused(banks, make_bank):
    rng = np.random.default_rng(0)
    target = make_bank(rng.random((3, 8)) * 0.1, dataset="folder:target")
    source = make_bank(rng.random((20, 8)) * 0.1)
    found = selection_stability([target], [source], 3, classes=5)
    assert found.subset == select_classes([target], [source], classes=5)
    with pytest.raises(ValueError, match="`replicates` must be at least 1, got 0"):
        selection_stability([target], [source], 0, classes=5)
    with pytest.raises(InputError, match="`classes`"):
        selection_stability([target], [source], 2, classes=21)
