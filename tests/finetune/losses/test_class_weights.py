"""The effective number and the class-balanced weights: exact arithmetic, limits, bad input."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from finetune.losses import automatic_beta, class_balanced_weights, effective_number

COUNTS = np.array([5000, 1200, 31, 7, 1])


def test_the_authors_figure():
    assert round(float(effective_number(1000, 0.9999)), 1) == 951.7


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 0.999, 0.999999, 1 - 2**-40])
def test_effective_number_in_exact_arithmetic(beta):
    counts = [0, 1, 2, 3, 50, 99]
    exact = [float((1 - Fraction(beta) ** n) / (1 - Fraction(beta))) for n in counts]
    np.testing.assert_allclose(effective_number(counts, beta), exact, rtol=1e-13)


def test_effective_number_is_the_geometric_series():
    # E_n = Σ_{j<n} β^j
    np.testing.assert_allclose(effective_number(COUNTS, 0.99), [sum(0.99**j for j in range(n)) for n in COUNTS])


def test_limits():
    huge = np.array([1, 10**3, 10**6, 10**9])
    largest_below_one = np.nextafter(1, 0)
    np.testing.assert_allclose(effective_number(huge, largest_below_one), huge, rtol=1e-6)
    np.testing.assert_allclose(effective_number(huge, 0.0), 1)
    np.testing.assert_allclose(effective_number(10**9, 0.999), 1000, rtol=1e-12)
    inverse = 1 / COUNTS
    np.testing.assert_allclose(
        class_balanced_weights(COUNTS, largest_below_one), inverse / inverse.sum() * len(COUNTS), rtol=1e-10
    )
    np.testing.assert_array_equal(class_balanced_weights(COUNTS, 0.0), np.ones(5))
    np.testing.assert_allclose(class_balanced_weights([77] * 5, 0.999), 1, rtol=1e-15)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999, "auto"])
def test_weights_sum_to_the_number_of_classes_and_favour_the_rare(beta):
    weights = class_balanced_weights(COUNTS, beta)
    assert weights.sum() == pytest.approx(5, rel=1e-14)
    assert (np.diff(weights) >= 0).all()
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(class_balanced_weights(COUNTS[order], beta), weights[order], rtol=1e-14)


def test_automatic_beta_takes_the_largest_class_as_the_volume():
    assert automatic_beta(COUNTS) == pytest.approx(4999 / 5000)
    assert automatic_beta([1, 1]) == 0
    np.testing.assert_array_equal(class_balanced_weights(COUNTS, "auto"), class_balanced_weights(COUNTS, 1 - 1 / 5000))
    # (1 − 1/n)^n → 1/e: the largest class keeps 63 % of its images
    assert float(effective_number(COUNTS, "auto")[0]) / 5000 == pytest.approx(1 - np.exp(-1), abs=1e-4)


@pytest.mark.parametrize("number", [np.float16, np.float32, np.float64])
def test_beta_may_be_a_number_of_numpy(number):
    np.testing.assert_allclose(effective_number(COUNTS, number(0.75)), effective_number(COUNTS, 0.75))


@pytest.mark.parametrize("beta", [-1e-9, 1.0, 2.0, float("nan")])
def test_beta_outside_its_range_is_refused(beta):
    with pytest.raises(InputError, match=r"^`beta` .*: expected auto, or at least 0 and below 1"):
        effective_number(COUNTS, beta)


@pytest.mark.parametrize(
    ("counts", "message"),
    [([], "empty"), ([3, -1], "-1"), ([3, np.inf], "inf"), ([[1, 2]], r"shape.*\(1, 2\)"), (5, r"shape.*\(\)")],
)
def test_counts_that_are_no_counts_are_refused(counts, message):
    with pytest.raises(ValueError, match=f"`counts` must.*{message}"):
        class_balanced_weights(counts, 0.9)


def test_a_class_with_no_image_is_refused_by_name():
    with pytest.raises(InputError, match="class 'jay' has no training image"):
        class_balanced_weights([3, 0, 4], 0.9, classes=["heron", "jay", "kite"])
    with pytest.raises(InputError, match="class number 1 has no training image"):
        class_balanced_weights([3, 0, 4], 0.0)
    with pytest.raises(ValueError, match="`classes` must name the 3 classes"):
        class_balanced_weights([3, 0, 4], 0.9, classes=["heron"])
