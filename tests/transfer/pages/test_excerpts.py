"""Excerpts of results that are too many for a page, and the sentences on what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from transfer.intervals import Estimate
from transfer.pages.excerpts import ARMS, BANKS, RUNS, of_arms, of_notes, of_text, say_shown
from transfer.plots import counts_plot


def test_the_most_accurate_arms_are_shown_in_their_order():
    draw = np.random.default_rng(0).permutation(ARMS + 7) / 100
    arms = [{"arm": f"arm {number}", "runs": list(range(RUNS + number))} for number in range(len(draw))]
    accuracy = {arm["arm"]: Estimate(value, 0.0, 1.0) for arm, value in zip(arms, draw.tolist(), strict=True)}
    found = of_arms(arms, accuracy)
    assert [arm["arm"] for arm in found] == [f"arm {number}" for number in np.flatnonzero(draw >= 0.07)]
    assert all(arm["runs"] == list(range(RUNS)) for arm in found)
    assert of_arms(arms[:3], accuracy) == [{**arm, "runs": arm["runs"][:RUNS]} for arm in arms[:3]]


@pytest.mark.parametrize("more", [0, 1])
def test_a_plot_has_a_kind_of_line_for_each_bank_that_is_shown(more):
    counts = {f"bank {number}": np.arange(1, 5) for number in range(BANKS + more)}
    lines = [(line.get_color(), line.get_linestyle()) for line in counts_plot(counts).axes[0].get_lines()]
    assert len(set(lines)) == BANKS


def test_what_is_left_out_is_said_and_where_it_stands():
    assert say_shown("first", 5, 5, "sources") == ""
    assert say_shown("first", 5, 1200, "sources") == "The first 5 of 1,200 sources are shown; all stand in result.json."
    assert say_shown("first", 1, 2, "runs", "the table").endswith("runs are shown; all stand in the table.")


def test_notes_are_counted_beyond_some():
    assert of_notes(["a"] * 20) == ["a"] * 20
    assert of_notes(["a"] * 22) == ["a"] * 20 + ["2 more notes of this kind are left out."]


def test_a_long_text_ends_with_a_line():
    assert of_text("a: 1\n", "f") == "a: 1\n"
    cut = of_text("a: 1\n" * 30_000, "config.yaml").splitlines()
    assert set(cut[:-1]) == {"a: 1"}
    assert cut[-1] == f"# {150_001 - 5 * len(cut[:-1]):,} more characters stand in config.yaml"
    assert of_text("x" * 100_005, "f") == "x" * 100_000 + "\n# 5 more characters stand in f\n"
