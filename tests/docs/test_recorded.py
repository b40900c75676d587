"""The role for a recorded figure finds it, and refuses what is not there; tables wait for their file."""

from __future__ import annotations

import json

import pytest
import recorded
from recorded import RESULTS, figure, written
from result_tables import TABLES, Table


def test_a_figure_is_that_of_the_file():
    content = json.loads((RESULTS / "emd.json").read_text(encoding="utf-8"))
    assert figure("emd > ours, euclidean > seconds | .2f") == f"{content['ours, euclidean']['seconds']:.2f}"
    rows = content["semi-dual"]["rows"]
    assert figure("emd > semi-dual > rows > 0 > sources | ,d") == f"{rows[0]['sources']:,}"


@pytest.mark.parametrize(
    "text", ["emd > nothing | d", "nothing > at all | d", "emd > semi-dual > rows > 99 | d", "emd"]
)
def test_what_is_not_recorded_is_an_error(text):
    with pytest.raises(ValueError, match="no recorded figure"):
        figure(text)


def test_numbers_have_a_true_minus_and_a_space_before_the_percent_sign():
    assert written(-0.123, ".1%") == "−12.3\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999 bytes"), (1234, "1.23 kB"), (56.78e9, "56.8 GB"), (224e12, "224 TB")],
)
def test_bytes_are_written_in_three_digits(number, text):
    assert written(number, "size") == text.replace(" ", "\N{NO-BREAK SPACE}")


def test_a_table_that_is_not_recorded_says_so(monkeypatch):
    monkeypatch.setitem(TABLES, "later", Table("not_measured_yet", ("a", "b"), lambda: [("1", "2")]))
    directive = object.__new__(recorded.Results)
    directive.arguments = ["later"]
    assert "`benchmarks/results/not_measured_yet.json`" in directive.write()
    monkeypatch.setattr("recorded.is_recorded", lambda name: True)
    assert directive.write() == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
