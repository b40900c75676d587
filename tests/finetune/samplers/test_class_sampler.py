"""Sampling by class: frequencies by chi-square, size, extreme powers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from finetune.samplers import ClassSampler, class_probabilities


@pytest.mark.parametrize("q", [1.0, 0.5, 0.0, -0.7])
def test_classes_and_images_come_as_often_as_promised(q, labels, counts, drawn_often):
    positions = drawn_often(ClassSampler(labels, q=q, seed=3), 200_000)
    present = counts > 0
    share = np.where(present, np.maximum(counts, 1.0) ** q, 0)
    by_class = np.bincount(labels[positions], minlength=5)
    assert by_class[2] == 0
    expected = share / share.sum() * len(positions)
    # the seeds are fixed, so these do not fail now and then
    assert chisquare(by_class[present], expected[present]).pvalue > 1e-3
    by_image = np.bincount(positions, minlength=len(labels))
    assert chisquare(by_image, (expected / np.maximum(counts, 1))[labels]).pvalue > 1e-3


def test_the_chi_square_would_notice_a_wrong_q(labels, counts, drawn_often):
    positions = drawn_often(ClassSampler(labels, q=0.5), 200_000)
    by_class = np.bincount(labels[positions], minlength=5)[counts > 0]
    wrong = counts[counts > 0] ** 0.52
    assert chisquare(by_class, wrong / wrong.sum() * by_class.sum()).pvalue < 1e-6


def test_more_images_than_a_float32_or_torch_multinomial_can_count():
    many = np.zeros(2**24 + 5000, dtype=np.uint8)
    many[-5000:] = 1
    positions = ClassSampler(many, q=0.0).positions()[:100_000]
    rare = positions[positions >= 2**24]
    assert abs(len(rare) / 100_000 - 0.5) < 0.01  # 6 standard deviations
    assert chisquare(np.bincount(rare - 2**24, minlength=5000)).pvalue > 1e-3


def test_extreme_powers_do_not_overflow():
    sizes = [10**9, 10**3, 1]
    np.testing.assert_allclose(class_probabilities(sizes, 300), [1, 0, 0])
    np.testing.assert_allclose(class_probabilities(sizes, -300), [0, 0, 1])
    np.testing.assert_allclose(class_probabilities([90, 10, 0], 1e308), [1, 0, 0])
    np.testing.assert_allclose(class_probabilities([90, 10, 0], -1e308), [0, 1, 0])
