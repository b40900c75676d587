"""Signals that ask a process to stop: raised anywhere, deferred where the state can be kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress

import pytest
from support import signal_at

from features.infrastructure import interruptions as module
from features.infrastructure.interruptions import Interrupted, deferred, interruptible

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


pytestmark = pytest.mark.usefixtures("listening")


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_is_raised_in_the_block_alone(name):
    number = signal.Signals[name]
    with pytest.raises(Interrupted, match=f"^{name}$"), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.default_int_handler


@pytest.mark.parametrize("name", NAMES)
def test_a_deferred_signal_waits_for_an_answer(name):
    steps = 0
    with pytest.raises(Interrupted, match=f"^{name}$"), interruptible(), deferred() as request:
        for _ in range(5):
            request.answer()
            steps += 1
            if steps == 2:
                signal.raise_signal(signal.Signals[name])
    assert steps == 2 and signal.getsignal(signal.Signals[name]) is signal.default_int_handler


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_ctrl_c_does_not_wait_but_a_launcher_sends_several(processes, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    after = []
    with pytest.raises(Interrupted, match="SIGTERM" if processes == 2 else "SIGINT"), deferred():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        after.append("terminated")
        signal.raise_signal(signal.SIGINT)
        after.append("interrupted")
    assert after == ["terminated", "interrupted"][:processes]


def test_what_is_cleaned_up_is_not_disturbed():
    done = []
    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            done.append("cleaned up")
    assert done == ["cleaned up"]


def test_a_second_ctrl_c_ends_cleaning_up():
    with pytest.raises(Interrupted, match="SIGINT"), interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)


def test_a_signal_without_an_answer_is_raised_at_the_end():
    with pytest.raises(Interrupted, match="SIGINT"), deferred():
        signal.raise_signal(signal.SIGINT)


def test_an_error_of_the_block_is_not_hidden():
    with pytest.raises(ZeroDivisionError), deferred():
        signal.raise_signal(signal.SIGINT)
        1 / 0  # noqa: B018


class Cleared:
    """Gets a signal while it is cleared away."""

    def __init__(self, name):
        self.name = name

    def __del__(self):
        signal.raise_signal(signal.Signals[self.name])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_an_object_is_cleared_away_is_not_lost(name, capsys):
    hook = sys.unraisablehook
    with pytest.raises(Interrupted, match=name), interruptible():
        Cleared(name)
        time.sleep(10)
        pytest.fail("the signal was lost")
    assert sys.unraisablehook is hook and capsys.readouterr().err == ""


@pytest.fixture
def later():
    """The signals that come where no block handles them."""
    came = []
    for name in NAMES:
        signal.signal(signal.Signals[name], lambda number, _: came.append(signal.Signals(number).name))
    return came


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_block_that_ends_before_a_lost_signal_is_raised_again_answers_it(name, later):
    with pytest.raises(Interrupted, match=name), interruptible():
        Cleared(name)
    time.sleep(0.05)
    assert later == []


def test_a_signal_is_not_lost_where_the_machine_is_slow(monkeypatch, capsys):
    """It comes again while Python still reports that it was dropped, and before the process sleeps."""
    start = threading.Thread.start

    def started_late(thread):
        start(thread)
        time.sleep(0.05)

    monkeypatch.setattr(threading.Thread, "start", started_late)
    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        Cleared("SIGTERM")
        time.sleep(10)
        pytest.fail("the signal was lost")
    assert capsys.readouterr().err == ""


def test_an_error_after_a_lost_signal_is_its_consequence(later):
    with pytest.raises(Interrupted, match="SIGTERM") as caught, interruptible():
        Cleared("SIGTERM")
        1 / 0  # noqa: B018
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    time.sleep(0.05)
    assert later == []


@pytest.mark.parametrize("block", [interruptible, deferred])
def test_a_lost_second_ctrl_c_is_raised_and_what_follows_does_not_disturb(block, later):
    done = []
    with pytest.raises(Interrupted, match="SIGINT"), block():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Interrupted:
            done.append("raised")
        try:
            Cleared("SIGINT")
            time.sleep(10)
            pytest.fail("the signal was lost")
        finally:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            done.append("cleaned up")
    assert done[-1] == "cleaned up" and len(done) == (2 if block is interruptible else 1) and later == []


def test_a_block_that_ends_before_a_lost_second_ctrl_c_is_raised_again_answers(later):
    with pytest.raises(Interrupted), deferred():
        signal.raise_signal(signal.SIGTERM)
        Cleared("SIGINT")
    time.sleep(0.05)
    assert later == []


@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_signals_that_come_before_a_lost_one_is_raised_again_are_one_with_it(second, later):
    done = []
    with pytest.raises(Interrupted, match="SIGINT"), interruptible():
        Cleared("SIGINT")
        signal.raise_signal(signal.Signals[second])
        try:
            time.sleep(10)
            pytest.fail("the signal was lost")
        finally:
            time.sleep(0.05)
            done.append("cleaned up")
    assert done == ["cleaned up"] and later == []


def test_a_signal_that_is_lost_twice_is_raised_again_twice(later):
    class Slow:
        def __del__(self):
            time.sleep(0.05)

    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        Cleared("SIGTERM")
        Slow()
        time.sleep(10)
        pytest.fail("the signal was lost")
    assert later == []


def test_a_signal_that_a_library_swallows_is_raised_at_the_end():
    for error, ended in ((None, Interrupted), (ImportError, Interrupted), (SystemExit, Interrupted)):
        with pytest.raises(ended, match="SIGTERM"), interruptible():
            with suppress(BaseException):
                signal.raise_signal(signal.SIGTERM)
            if error is not None:
                raise error


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("around", [False, True], ids=["alone", "within"])
@pytest.mark.parametrize("block", [interruptible, deferred])
def test_a_signal_at_any_moment_is_raised_and_the_handlers_are_given_back(block, around, name):
    hook, number = sys.unraisablehook, signal.Signals[name]
    for count in range(1, 1000):
        raised = False
        with signal_at(module.__file__, count, number) as left:
            try:
                with interruptible() if around else nullcontext(), block():
                    pass
            except KeyboardInterrupt:
                raised = True
        if left[0] > 0:
            break
        assert raised, count
        assert sys.unraisablehook is hook, count
        for other in NAMES:  # a handler that was not given back does as the one before
            with pytest.raises(KeyboardInterrupt) as caught:
                signal.raise_signal(signal.Signals[other])
            assert type(caught.value) is KeyboardInterrupt, (count, other)
    assert count > 30


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible(), deferred() as request:
        signal.raise_signal(signal.SIGHUP)
        assert not request.name


@pytest.mark.parametrize("block", ["interruptible", "deferred"])
def test_a_forked_worker_ignores_ctrl_c_and_ends_by_other_signals(block):
    code = f"""
import os, signal, sys, time
from features.infrastructure.interruptions import {block}
with {block}():
    child = os.fork()
    if not child:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(int(signal.SIGTERM)) and done.stderr == ""


WAITING = """
import sys, time
from transfer import cli
from transfer.commands import inspect

def wait(config):
    print("begun", flush=True)
    time.sleep(60)

inspect.inspect = wait
sys.exit(cli.main(["inspect", "losses"]))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_command_ends_with_an_error_and_one_line(name):
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.Signals[name])
    _, said = process.communicate(timeout=60)
    hint = "the same command resumes from the last checkpoint, if there is one"
    assert process.returncode == 1 and said == f"transfer inspect: stopped by {name}; {hint}\n"
