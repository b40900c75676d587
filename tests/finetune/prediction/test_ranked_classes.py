"""The order of classes: against a plain sort, with ties, and as the evaluation ranks them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from finetune.evaluation.predictions import Predictions
from finetune.prediction.ranked_classes import RankedClasses


def tied(n: int, classes: int, seed: int = 0) -> torch.Tensor:
    """(n, classes) of few values, zero and one among them."""
    values = np.array([0.0, 1e-38, 0.25, 0.5, np.nextafter(np.float32(0.5), 1), 1.0], dtype=np.float32)
    return torch.from_numpy(np.random.default_rng(seed).choice(values, (n, classes)))


def by_hand(row: np.ndarray, top: int) -> list[int]:
    return sorted(range(len(row)), key=lambda k: (-row[k], k))[:top]


@pytest.mark.parametrize(("classes", "top"), [(1, 1), (1, 5), (2, 1), (7, 5), (7, 7), (7, 9), (300, 5)])
def test_against_a_plain_sort(classes, top):
    scores = tied(40, classes)
    found = RankedClasses.of(scores, np.arange(40), top)
    table = scores.numpy()
    assert found.classes.tolist() == [by_hand(row, top) for row in table]
    np.testing.assert_array_equal(found.probabilities, np.take_along_axis(table, found.classes.astype(int), 1))
    second = np.sort(table, axis=1)[:, -2] if classes > 1 else 0
    np.testing.assert_array_equal(found.margins, table.max(axis=1) - second)


def test_the_first_is_what_the_evaluation_counts():
    scores = tied(200, 6)
    found = RankedClasses.of(scores, np.arange(200), 3)
    of_evaluation = Predictions.of(scores.numpy(), np.zeros(200, dtype=int))
    np.testing.assert_array_equal(found.classes[:, 0], of_evaluation.predicted)
    np.testing.assert_array_equal(found.probabilities[:, 0], of_evaluation.confidence)


def test_columns_of_a_wider_table_and_batches():
    wide = tied(9, 30)
    whole = RankedClasses.of(wide[:, :20], np.arange(9), 4)
    parts = [RankedClasses.of(wide[rows, :20].contiguous(), np.arange(9)[rows], 4) for rows in (slice(5), slice(5, 9))]
    joined = RankedClasses.concatenate(parts)
    for name in ("positions", "classes", "probabilities", "margins"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
