"""A plan fits into its time, gives more for more time, and says what is missing."""

from __future__ import annotations

import pytest
import yaml

from finetune.training.batches import batches_an_epoch
from transfer.rates import Rates
from transfer.trial.plan import (
    BATCH,
    CONTINUED,
    EPOCHS,
    FINE_TUNED,
    LEAST,
    PASSES,
    PROBE,
    SELECTED,
    images_a_class,
    make_plan,
    recipe_arms,
)

CPU = Rates(features=75, training=25)


@pytest.mark.parametrize("minutes", [1, 3, 5, 10, 20, 40, 80, 200])
@pytest.mark.parametrize("source", [None, 0, 4000])
@pytest.mark.parametrize(("train", "test"), [(160, 40), (2361, 591), (40_000, 10_000)])
def test_a_plan_fits_into_its_time(minutes, source, train, test):
    plan = make_plan(train, test, source, CPU, 60 * minutes, spent=20)
    assert plan.starts[0] == PROBE
    an_epoch = batches_an_epoch(train, BATCH)
    if len(plan.starts) > 1:
        assert plan.seconds + 20 <= 60 * minutes
        assert 1 <= plan.steps <= EPOCHS * an_epoch
    if len(plan.starts) > 2:
        assert plan.steps >= LEAST * an_epoch - 1
        assert plan.pretraining >= plan.steps - 1
    else:
        assert plan.pretraining == 0
    assert {*plan.starts, *plan.left_out} == {PROBE, FINE_TUNED} | (set() if source is None else {CONTINUED, SELECTED})


def test_more_time_gives_more_starts_and_then_more_steps():
    plans = [make_plan(2361, 591, 4000, CPU, 60 * minutes) for minutes in (1, 5, 20, 60, 400)]
    assert [len(plan.starts) for plan in plans] == sorted(len(plan.starts) for plan in plans)
    assert plans[0].starts == (PROBE,) and plans[-1].starts == (PROBE, FINE_TUNED, CONTINUED, SELECTED)
    assert plans[-1].steps == EPOCHS * (2361 // BATCH) and not plans[-1].left_out


def test_the_time_that_is_told_for_what_is_left_out_is_enough():
    first = make_plan(2361, 591, 4000, CPU, 60 * 6, spent=30)
    assert first.left_out
    for start, minutes in first.left_out.items():
        assert start in make_plan(2361, 591, 4000, CPU, 60 * minutes * 1.001, spent=30).starts
        assert start not in make_plan(2361, 591, 4000, CPU, 60 * minutes * 0.98, spent=30).starts


def test_the_time_that_is_left_goes_to_the_pre_training():
    plan = make_plan(200, 50, 2000, Rates(1000, 400), 1200)
    assert plan.steps == EPOCHS * (200 // BATCH)
    assert plan.pretraining == PASSES * 2000 // BATCH  # no more than so many passes over the sources
    assert plan.seconds < 0.75 * 1200
    shorter = make_plan(200, 50, 200_000, Rates(1000, 400), 1200)
    assert shorter.seconds == pytest.approx(0.75 * 1200)
    assert shorter.pretraining > 70 * shorter.steps


def test_few_photographs_are_all_in_one_batch():
    assert make_plan(16, 4, None, CPU, 10**4).steps == EPOCHS


def test_a_faster_machine_tries_more():
    gpu = Rates(features=2000, training=600)
    assert len(make_plan(2361, 591, 20_000, gpu, 60 * 20).starts) == 4


def test_a_large_source_is_thinned_to_a_tenth_of_the_time():
    assert images_a_class(9_000, 200, CPU, 60 * 20) is None
    assert images_a_class(1_281_167, 1000, CPU, 60 * 20) == int(0.1 * 1200 * 75 / 1000)
    assert images_a_class(10**7, 10**6, CPU, 60) == 2


def test_the_arms_are_those_of_the_plan():
    plan = make_plan(160, 40, 4000, CPU, 10**5)
    arms = recipe_arms(plan, "resnet50")
    assert list(arms) == list(plan.starts)
    assert arms[PROBE]["finetune"] == {"method": "linear"}
    assert "&" not in yaml.safe_dump(arms)  # each arm can be edited by itself
    assert "init" not in arms[SELECTED] and arms[CONTINUED]["init"] == arms[FINE_TUNED]["init"] == "resnet50"
