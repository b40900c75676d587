"""LEEP and NCE against plain formulas."""

import numpy as np
import pytest
from scipy.stats import entropy

from similarity.measures import leep, nce


def drawn(seed=0, images=60, source=7, target=4, sharpness=2.0):
    """Probabilities that know something of the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, target, images)
    logits = rng.standard_normal((images, source)) + sharpness * np.eye(target, source)[labels]
    theta = np.exp(2 * logits)
    return theta / theta.sum(axis=1, keepdims=True), labels


def leep_looped(theta, labels):
    images, sources = theta.shape
    total = 0.0
    for i in range(images):
        expected = 0.0
        for z in range(sources):
            joint = sum(theta[j, z] for j in range(images) if labels[j] == labels[i])
            expected += joint / theta[:, z].sum() * theta[i, z]
        total += np.log(expected)
    return total / images


def test_leep_against_the_loop(monkeypatch):
    theta, labels = drawn()
    assert leep(theta, labels) == pytest.approx(leep_looped(theta, labels), rel=1e-12)
    monkeypatch.setattr("similarity.measures.source_labels._BLOCK", 50)
    assert leep(theta, labels) == pytest.approx(leep_looped(theta, labels), rel=1e-12)


def test_nce_is_the_difference_of_two_entropies():
    theta, labels = drawn()
    table = np.zeros((4, 7))
    np.add.at(table, (labels, theta.argmax(axis=1)), 1)
    assert nce(theta, labels) == pytest.approx(entropy(table.sum(axis=0)) - entropy(table.ravel()), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_bounds_and_the_relation_of_the_two(seed):
    theta, labels = drawn(seed, sharpness=seed)
    chosen = np.log(theta.max(axis=1)).mean()
    assert 0 >= leep(theta, labels) >= nce(theta, labels) + chosen
    assert 0 >= nce(theta, labels) >= -np.log(4)


def test_certain_predictions_make_leep_nce():
    theta, labels = drawn()
    certain = np.eye(7)[theta.argmax(axis=1)]
    assert leep(certain, labels) == pytest.approx(nce(certain, labels), rel=1e-12)


def test_closed_forms():
    labels = np.repeat([0, 1, 2], [6, 3, 3])
    assert leep(np.eye(3)[labels], labels) == nce(np.eye(3)[labels], labels) == 0
    ignorant = np.full((12, 5), 0.2)
    expected = -entropy([6, 3, 3])  # all that is left is how often each label occurs
    assert leep(ignorant, labels) == pytest.approx(expected, rel=1e-12)
    assert nce(ignorant, labels) == pytest.approx(expected, rel=1e-12)
    split = np.eye(6)[2 * labels + np.arange(12) % 2]  # finer source classes cost nothing
    assert leep(split, labels) == nce(split, labels) == 0


def test_the_order_of_images_and_of_either_classes_changes_nothing():
    theta, labels = drawn()
    rng = np.random.default_rng(1)
    order, columns = rng.permutation(60), rng.permutation(7)
    renamed = np.array([9, 4, 11, 0])[labels]
    for measure in (leep, nce):
        assert measure(theta[order][:, columns], renamed[order]) == pytest.approx(measure(theta, labels), rel=1e-12)


def test_a_source_class_that_no_image_has_says_nothing():
    theta, labels = drawn()
    more = np.hstack([theta, np.zeros((60, 3))])
    assert leep(more, labels) == pytest.approx(leep(theta, labels), rel=1e-12)
    assert nce(more, labels) == pytest.approx(nce(theta, labels), rel=1e-12)


@pytest.mark.parametrize("measure", [leep, nce])
def test_probabilities_in_half_precision_will_do(measure):
    theta, labels = drawn()
    assert measure(theta.astype(np.float16), labels) == pytest.approx(measure(theta, labels), rel=1e-2)
    off = theta * np.linspace(0.995, 1.005, 60)[:, None]
    assert measure(off, labels) == pytest.approx(measure(theta, labels), rel=1e-12)


@pytest.mark.parametrize("measure", [leep, nce])
def test_what_is_refused(measure):
    theta, labels = drawn()
    with pytest.raises(ValueError, match="sum to 1 for each image, got values from"):
        measure(np.log(theta), labels)
    with pytest.raises(ValueError, match="sums from"):
        measure(theta / 2, labels)
    with pytest.raises(ValueError, match="posterior must be finite"):
        measure(np.full_like(theta, np.nan), labels)
    with pytest.raises(ValueError, match="labels must be 60 integers"):
        measure(theta, labels[:-1])
    with pytest.raises(ValueError, match="at least 2 classes"):
        measure(theta, np.zeros(60, dtype=int))
