"""What all measures of labelled features have in common."""

import numpy as np
import pytest

from similarity.measures import h_score, knn_accuracy, linear_probe, logme, transrate

OF_LABELS = [knn_accuracy, linear_probe, logme, h_score, transrate]
pytestmark = pytest.mark.parametrize("function", OF_LABELS)


def test_awkward_features_give_a_number_that_nothing_else_changes(awkward, function):
    features, labels = awkward
    value = function(features, labels)
    assert np.isfinite(value)
    assert function(features, labels) == value
    order = np.random.default_rng(0).permutation(len(labels))
    if len(np.unique(features, axis=0)) == len(features):  # coinciding images have no order of their own
        assert function(features[order], 5 - labels[order]) == pytest.approx(value, rel=1e-9)
    assert function(features.astype(np.float32), labels) == pytest.approx(value, rel=1e-4)


def test_true_labels_beat_shuffled_ones(awkward, function):
    features, labels = awkward
    shuffled = np.random.default_rng(0).permutation(labels)
    assert function(features, labels) > function(features, shuffled)


def test_what_is_refused(clusters, function):
    features, labels = clusters(np.eye(3), [5] * 3)
    with pytest.raises(ValueError, match=r"features must be \(images, width\).*got shape \(15,\)"):
        function(features[:, 0], labels)
    with pytest.raises(ValueError, match="at least one of each"):
        function(features[:0], labels[:0])
    with pytest.raises(ValueError, match="features must be finite, got NaN or infinity"):
        function(np.where(np.arange(15)[:, None] == 3, np.nan, features), labels)
    with pytest.raises(ValueError, match=r"labels must be 15 integers, one for each image, got int64 of shape \(14,\)"):
        function(features, labels[:-1])
    with pytest.raises(ValueError, match="got float64"):
        function(features, labels.astype(float))
    with pytest.raises(ValueError, match="labels must hold at least 2 classes, got only 7"):
        function(features, np.full(15, 7))
