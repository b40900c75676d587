"""Progressively balanced sampling: its class frequencies by chi-square."""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from finetune.samplers import build_sampler, progressive_probabilities


def test_progressive_moves_from_instance_to_class_balanced(labels, counts, drawn_often):
    sampler = build_sampler("progressive", labels, epochs=11)
    for epoch, t in ((0, 0.0), (4, 0.4), (10, 1.0), (25, 1.0)):
        expected = (1 - t) * counts / counts.sum() + t * (counts > 0) / 4
        by_class = np.bincount(labels[drawn_often(sampler, 100_000, epoch)], minlength=5)
        assert chisquare(by_class[counts > 0], expected[counts > 0] * 100_000).pvalue > 1e-3
        np.testing.assert_allclose(progressive_probabilities(counts, t), expected, rtol=1e-12)
