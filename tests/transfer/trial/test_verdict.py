"""The statistics of a verdict against SciPy, plain loops and simulations; its sentences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from transfer.trial.plan import CONTINUED, FINE_TUNED, PROBE
from transfer.trial.verdict import accuracy_of, judge, lead_of, optimism, sentences


@pytest.mark.parametrize(("correct", "images"), [(0, 5), (5, 5), (17, 40), (589, 600)])
def test_the_interval_of_an_accuracy_is_wilsons(correct, images):
    found = accuracy_of(np.arange(images) < correct)
    expected = binomtest(correct, images).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert found.value == correct / images


def test_the_lead_is_the_difference_and_turns_its_sign_with_the_order():
    rng = np.random.default_rng(0)
    one, other = rng.random(80) < 0.8, rng.random(80) < 0.6
    forth, back = lead_of(one, other), lead_of(other, one)
    assert forth.value == pytest.approx(one.mean() - other.mean())
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert lead_of(one, one).low < 0 < lead_of(one, one).high


@pytest.mark.parametrize(("images", "one", "other", "both"), [(40, 0.9, 0.8, 0.75), (300, 0.5, 0.45, 0.3)])
def test_the_interval_of_a_lead_covers(images, one, other, both):
    rng, held, trials = np.random.default_rng(1), 0, 2000
    cells = [both, one - both, other - both, 1 - one - other + both]
    for _ in range(trials):
        drawn = rng.choice(4, size=images, p=cells)
        lead = lead_of(np.isin(drawn, (0, 1)), np.isin(drawn, (0, 2)))
        held += lead.low <= one - other <= lead.high
    assert 0.94 <= held / trials <= 0.985  # 95 %, with the error of 2,000 trials and Agresti and Min's caution


def test_the_optimism_is_what_a_plain_bootstrap_finds():
    rng = np.random.default_rng(2)
    hits = rng.random((4, 60)) < 0.7
    plain = []
    for _ in range(4000):
        drawn = rng.integers(0, 60, 60)
        best = hits[:, drawn].mean(axis=1).argmax()
        plain.append(hits[best, drawn].mean() - hits[best].mean())
    assert optimism(hits, seed=0) == pytest.approx(np.mean(plain), abs=0.003)
    assert optimism(hits[:1], seed=0) == pytest.approx(0, abs=0.003)  # without a choice there is none


def test_equals_are_tied_and_the_cheapest_is_the_best():
    hits = np.arange(50) < 45
    verdict = judge({PROBE: hits, FINE_TUNED: hits[::-1]})
    assert verdict.best == PROBE and verdict.tied == (FINE_TUNED,) and verdict.images == 50
    assert sum(verdict.lead[FINE_TUNED].__dict__.values()) == pytest.approx(0, abs=1e-9)


def said(left_out=None, sources=(), **correct):
    names = {"probe": PROBE, "tuned": FINE_TUNED, "continued": CONTINUED}
    hits = {names[name]: np.arange(400) < number for name, number in correct.items()}
    return sentences(judge(hits), "resnet50", left_out or {}, list(sources), pretraining=1200)


def test_the_sentences_say_what_wins_by_how_much_and_what_a_choice_is_worth():
    first, second, third = said(probe=300, tuned=360)
    assert first.startswith("Fine-tuned resnet50 is right on 90.0 % of the 400 held-out photographs (95 % interval 86")
    assert second.startswith("It beats the next best, linear probe, by +15.0 points (+11.")
    assert "give --source" in third
    _, second, third = said(probe=358, tuned=360, sources=["s"], left_out={CONTINUED: 30.2})
    assert second.startswith("It is tied with linear probe (a lead of +0.5 points (")
    assert second.endswith("do not tell these starts apart; the cheapest of them is linear probe.")
    assert third.endswith("does not fit into this time; --minutes 31 compares it.")
    won = said(probe=300, tuned=340, continued=380, sources=["s"])
    assert won[2] == "Pre-training on chosen source classes, for 1,200 steps, is worth it here."
    level = said(probe=300, tuned=379, continued=380, sources=["s"])
    assert "may be worth it" in level[2] and level[1].endswith("the cheapest of them is fine-tuned.")
    lost = said(probe=300, tuned=380, continued=340, sources=["s"])
    assert "is not worth it here: the best start without it leads by +10.0 points (" in lost[2]
    assert "makes no difference" in said(probe=300, tuned=381, continued=380, sources=["s"])[2]
    assert said(probe=300)[1] == "Nothing else was tried in this time."
    assert said(probe=300, tuned=300)[1].endswith("do not tell these starts apart.")  # the probe is the cheapest


def test_the_steps_of_a_fine_tuning_are_said():
    hits = {PROBE: np.arange(40) < 30, FINE_TUNED: np.arange(40) < 40}
    given = {"model": "resnet50", "left_out": {}, "sources": [], "pretraining": 0}
    assert sentences(judge(hits), tuning=5, **given)[1].endswith(" Fine-tuning took 5 steps.")
    assert "took" not in sentences(judge({PROBE: hits[PROBE]}), tuning=None, **given)[1]
