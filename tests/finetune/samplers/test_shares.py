"""Importance sampling: classes by their shares of the target, with a floor for the rest."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.samplers import ClassSampler, class_probabilities
from finetune.samplers.shares import share_probabilities

SHARES = np.array([0.0, 0.5, 0.0, 0.3, 0.2])


def test_the_floor_lies_between_the_shares_and_instance_sampling(counts):
    np.testing.assert_allclose(share_probabilities(counts, SHARES, 0.0), SHARES, rtol=1e-12)
    np.testing.assert_array_equal(share_probabilities(counts, SHARES, 1.0), class_probabilities(counts, 1.0))
    found = share_probabilities(counts, 7 * SHARES, 0.25)  # shares of any sum
    expected = [0.75 * share + 0.25 * n / counts.sum() for share, n in zip(SHARES, counts, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_shares_in_proportion_to_the_images_are_plain_instance_sampling(labels, counts, drawn):
    plain = drawn(ClassSampler(labels, q=1.0, seed=3))
    for floor in (0.0, 0.4):
        probabilities = share_probabilities(counts, counts, floor)
        np.testing.assert_array_equal(drawn(ClassSampler(labels, q=lambda _, p=probabilities: p, seed=3)), plain)


@pytest.mark.parametrize(
    ("shares", "floor", "message"),
    [
        (SHARES, -0.1, r"`floor` must be in \[0, 1\], got -0.1"),
        (SHARES, 1.1, r"`floor` must be in \[0, 1\], got 1.1"),
        (SHARES[:4], 0.1, "`shares` must be a number of at least 0 for each of 5 classes"),
        (-SHARES, 0.1, "`shares` must be a number of at least 0"),
        (np.zeros(5), 0.1, "not all 0"),
        (np.full(5, np.nan), 0.1, "`shares` must be a number of at least 0"),
    ],
)
def test_what_is_no_share_is_refused(counts, shares, floor, message):
    with pytest.raises(ValueError, match=message):
        share_probabilities(counts, shares, floor)
