"""The clock of stages, with a time that the test moves."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from torch import nn

from features.decoding import fetched
from features.infrastructure.stage_clock import DECODE, FORWARD, UNPROFILED, WAIT, StageClock


class Time:
    """Seconds that pass only when the test says so."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds

    def passes(self, seconds):
        self.seconds += seconds


@pytest.fixture
def time():
    return Time()


@pytest.mark.parametrize("seed", range(5))
def test_a_moment_belongs_to_the_innermost_stage_alone(time, seed):
    clock, draw = StageClock(now=time), random.Random(seed)
    expected, begun = {}, time()

    def some(stages, depth=0):
        for _ in range(draw.randrange(1, 4)):
            seconds = draw.randrange(8) / 4
            time.passes(seconds)
            if stages:
                expected[stages[-1]] = expected.get(stages[-1], 0.0) + seconds
            if depth < 3:
                name = draw.choice("abc")
                with clock.stage(name):
                    expected.setdefault(name, 0.0)
                    some([*stages, name], depth + 1)

    some([])
    found = clock.measured()
    assert found.seconds == expected
    assert found.wall == time() - begun
    assert sum(found.seconds.values()) + found.other == found.wall


def test_an_error_ends_the_stages_that_it_leaves(time):
    clock = StageClock(now=time)
    with pytest.raises(KeyError), clock.stage("outer"):
        clock.start("inner")
        time.passes(2)
        raise KeyError
    time.passes(5)
    found = clock.measured()
    assert found.seconds == {"outer": 0, "inner": 2} and found.other == 5


def test_the_device_is_waited_for_before_the_time_is_read(time):
    """What a stage has only asked of a device is booked to it, not to the next one."""
    asked = []

    def synchronize():
        while asked:
            time.passes(asked.pop())

    clock = StageClock(synchronize, time)
    with clock.stage("asks"):
        asked.append(3)
    with clock.stage("next"):
        time.passes(1)
    assert clock.measured().seconds == {"asks": 3, "next": 1}


def test_a_device_that_fails_is_not_asked_while_its_error_ends_the_stages(time):
    def failed():
        raise RuntimeError("again")

    clock = StageClock(now=time)
    with pytest.raises(KeyError), clock.stage("outer"), clock.stage("inner"):
        clock._synchronize = failed
        time.passes(2)
        raise KeyError
    clock._synchronize = lambda: None
    assert clock.measured().seconds == {"outer": 0, "inner": 2}


def test_the_device_is_waited_for_also_while_an_earlier_error_is_handled(time):
    waited = []
    try:
        raise KeyError
    except KeyError:
        clock = StageClock(lambda: waited.append(time()), time)
        with clock.stage("again"):
            time.passes(1)
    assert waited == [100, 101]


def test_the_time_until_a_batch_comes_is_waiting(time):
    def slow():
        for number in range(4):
            time.passes(10)
            yield number

    clock, seen = StageClock(now=time), []
    for batch in clock.awaited(slow()):
        time.passes(1)
        clock.step(2)
        seen.append(batch)
    found = clock.measured()
    assert seen == [0, 1, 2, 3] and found.images == 8
    assert found.seconds == {WAIT: 40} and found.other == 4


class Doubled(torch.utils.data.Dataset):
    def __getitem__(self, batch):
        return [2 * index for index in batch]


@pytest.mark.parametrize("workers", [0, 2])
def test_work_is_measured_in_whichever_process_it_is_done(workers):
    clock, batches = StageClock(), [[0, 1], [2, 3], [4]]
    dataset = clock.metered(Doubled(), DECODE, workers)
    assert list(fetched(dataset, batches, workers)) == [[0, 2], [4, 6], [8]]
    found = clock.measured()
    assert found.workers == workers and found.work[DECODE].images == 5
    assert found.work[DECODE].seconds > 0


def test_the_forward_pass_of_a_training_is_a_stage_and_that_of_a_validation_is_none(time):
    class Slow(nn.Module):
        def forward(self, x):
            time.passes(7)
            return x

    clock, module = StageClock(now=time), Slow()
    with clock.watched(module, FORWARD):
        module(torch.zeros(1))
        with clock.stage("validation"):
            copy.deepcopy(module).eval()(torch.zeros(1))
    module(torch.zeros(1))
    found = clock.measured()
    assert found.seconds == {FORWARD: 7, "validation": 7} and found.other == 7
    assert not module._forward_hooks and not module._forward_pre_hooks


def test_what_measures_nothing_gives_back_what_it_gets():
    batches, dataset = [1, 2], Doubled()
    assert UNPROFILED.awaited(batches) is batches
    assert UNPROFILED.metered(dataset, DECODE, 2) is dataset
    with UNPROFILED.stage("a"), UNPROFILED.watched(nn.Linear(1, 1), "b"):
        UNPROFILED.step(1)
