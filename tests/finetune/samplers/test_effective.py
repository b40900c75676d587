"""Sampling by the effective number against the class-balanced weights."""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from finetune.losses import class_balanced_weights
from finetune.samplers import build_sampler, class_probabilities, effective_probabilities


def test_effective_sampling_is_the_twin_of_the_class_balanced_loss(labels, counts, drawn_often):
    present = counts[counts > 0]
    twin = present * class_balanced_weights(present, 0.99)
    np.testing.assert_allclose(effective_probabilities(counts, 0.99)[counts > 0], twin / twin.sum(), rtol=1e-12)
    np.testing.assert_allclose(effective_probabilities(counts, 0.0), class_probabilities(counts, 1), rtol=1e-12)
    limit = np.nextafter(1, 0)
    np.testing.assert_allclose(effective_probabilities(counts, limit), class_probabilities(counts, 0), rtol=1e-9)
    positions = drawn_often(build_sampler("effective", labels, beta=0.99), 100_000)
    by_class = np.bincount(labels[positions], minlength=5)
    assert chisquare(by_class[counts > 0], twin / twin.sum() * 100_000).pvalue > 1e-3
