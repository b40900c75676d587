"""Advice on class sizes: its figures by definition, its choice by the sizes."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.losses import LOSSES
from finetune.losses.advice import advise, beta_table, describe_tail
from finetune.samplers import SAMPLERS, ClassSampler

TAIL = np.array([500, 120, 60, 20, 5])


def test_each_beta_by_the_papers_formula():
    rows = beta_table(TAIL)
    assert [row.beta for row in rows] == [0.9, 0.99, 1 - 1 / 500, 0.999, 0.9999]
    assert [row.automatic for row in rows] == [False, False, True, False, False]
    for row in rows:
        numbers = (1 - row.beta**TAIL) / (1 - row.beta)
        weights = 1 / numbers / (1 / numbers).mean()
        found = (row.effective_largest, row.effective_smallest, row.weight_largest, row.weight_smallest)
        assert found == pytest.approx((numbers[0], numbers[-1], weights[0], weights[-1]), rel=1e-9)


def test_a_long_tail_is_corrected_in_the_loss_and_a_balanced_set_is_left_alone():
    assert (advise(TAIL).loss, advise(TAIL).sampler) == ("balanced-softmax", "shuffle")
    assert (advise([20, 30, 25]).loss, advise([20, 30, 25]).sampler) == ("softmax", "shuffle")
    assert all(found.loss in LOSSES and found.sampler in SAMPLERS for found in (advise(TAIL), advise([1, 1])))


def test_the_repetitions_that_it_names_are_those_of_the_sampler():
    labels = np.repeat(np.arange(5), TAIL)
    sampler = ClassSampler(labels, q=0.0)
    shown = np.mean([(labels[sampler.positions()] == 4).sum() / 5 for sampler.epoch in range(200)])
    assert "each image of the smallest class 28.2 times an epoch" in advise(TAIL).reasons[-1]
    assert shown == pytest.approx(28.2, rel=0.02)


def test_a_class_without_images_counts_as_few_and_has_no_weight():
    tail = describe_tail([130, 0, 100, 19])
    assert (tail["many"], tail["medium"], tail["few"], tail["smallest"], tail["imbalance"]) == (1, 1, 2, 0, 6.84)
    assert beta_table([130, 0, 19]) == beta_table([130, 19])
    with pytest.raises(ValueError, match=r"`counts` must be .*not all zero"):
        advise([0, 0])
