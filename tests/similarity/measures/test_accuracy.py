"""k nearest neighbours and the linear probe against loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from similarity.measures import knn_accuracy, linear_probe
from similarity.measures.sampling import sample


def voted(features, labels, k):
    """The share of images whose neighbours vote for their class, one image and one vote at a time."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    right = 0
    for i in range(len(unit)):
        cosines = unit @ unit[i]
        others = sorted((j for j in range(len(unit)) if j != i), key=lambda j: -cosines[j])[:k]
        votes: dict[int, tuple[int, float]] = {}
        for j in others:
            count, total = votes.get(labels[j], (0, 0.0))
            votes[labels[j]] = count + 1, total + cosines[j]
        right += max(votes, key=votes.__getitem__) == labels[i]
    return right / len(unit)


@pytest.mark.parametrize("k", [1, 4, 5, 500])
def test_knn_is_the_loop(clusters, k):
    features, labels = clusters(np.random.default_rng(0).standard_normal((5, 8)), [14, 12, 10, 9, 8], spread=0.7)
    expected = voted(features, labels, k)
    assert 0 < expected < 1
    assert knn_accuracy(features, labels, k=k) == pytest.approx(expected)


def test_an_image_is_no_neighbour_of_itself_but_its_twin_is(clusters):
    features = np.repeat(np.random.default_rng(0).standard_normal((30, 5)), 2, axis=0)
    assert knn_accuracy(features, np.repeat(np.arange(30), 2), k=1) == 1
    assert knn_accuracy(features, np.tile([0, 1], 30), k=1) == 0


def test_many_images_that_coincide_push_none_of_their_votes_out():
    """Ten twins a place: among the nearest seven others the image itself need not be found."""
    features = np.repeat(np.eye(3), 10, axis=0)
    assert knn_accuracy(features, np.repeat([0, 1, 2], 10), k=6) == 1


def test_equal_votes_go_to_the_nearer_class():
    angle = np.deg2rad([0, 10, 30, 11, 20, 170, 172])
    features = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    labels = np.array([0, 1, 1, 0, 0, 2, 2])
    for k in (2, 4, 6):
        assert knn_accuracy(features, labels, k=k) == pytest.approx(voted(features, labels, k))


def test_a_sample_of_queries_estimates_the_accuracy(clusters, monkeypatch):
    features, labels = clusters(np.random.default_rng(0).standard_normal((4, 6)), [400] * 4, spread=0.8)
    whole = knn_accuracy(features, labels)
    monkeypatch.setattr("similarity.measures.accuracy._MOST_QUERIES", 600)
    part = knn_accuracy(features, labels, seed=3)
    assert part != whole
    assert part == pytest.approx(whole, abs=3 * np.sqrt(whole * (1 - whole) / 600))


def test_the_probe_is_scikit_learns_cross_validation(clusters):
    features, labels = clusters(np.random.default_rng(0).standard_normal((4, 6)), [31, 22, 18, 14], spread=1.2)
    order = sample(features, len(features))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, features[order], labels[order], cv=folds)
    accuracy = (predicted == labels[order]).mean()
    assert 0.3 < accuracy < 0.95
    assert linear_probe(features, labels) == pytest.approx(accuracy, abs=1e-12)


def test_the_probe_sees_no_unit_and_no_shift(clusters):
    features, labels = clusters(np.random.default_rng(0).standard_normal((4, 6)), [20] * 4, spread=1.2)
    assert linear_probe(1e-3 * features + 7, labels) == linear_probe(features, labels)


def test_the_probe_where_classes_are_scarce():
    features = np.array([[0.0], [0.1], [5.0]])
    assert linear_probe(features, np.array([0, 0, 1])) == pytest.approx(2 / 3)  # the third is never in both parts
    with pytest.raises(ValueError, match="a class of at least 2 images"):
        linear_probe(features, np.array([0, 1, 2]))


@pytest.mark.parametrize("accuracy", [knn_accuracy, linear_probe])
def test_separable_classes_beat_chance(clusters, accuracy):
    features, labels = clusters(20 * np.eye(4, 10), [25] * 4)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert accuracy(features, labels) == 1
    assert 0.05 < accuracy(features, shuffled) < 0.5


@pytest.mark.parametrize("accuracy", [knn_accuracy, linear_probe])
def test_the_order_of_images_and_classes_changes_nothing(clusters, accuracy):
    features, labels = clusters(np.random.default_rng(0).standard_normal((5, 8)), [14, 12, 10, 9, 8], spread=0.7)
    order = np.random.default_rng(1).permutation(len(labels))
    renamed = np.array([7, 1, 30, 2, 5])[labels]
    assert accuracy(features[order], renamed[order]) == accuracy(features, labels)


def test_numbers_out_of_range(clusters):
    features, labels = clusters(np.eye(2), [4, 4])
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        knn_accuracy(features, labels, k=0)
    with pytest.raises(ValueError, match="folds must be at least 2, got 1"):
        linear_probe(features, labels, folds=1)
