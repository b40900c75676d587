"""The check of the English finds what it is for, at its line, and leaves code alone."""

from __future__ import annotations

import pytest
from prose import MOST_WORDS, faults
from proselint.checks import __register__ as CHECKS
from proselint.registry import CheckRegistry

LONG = " ".join(f"w{number}" for number in range(MOST_WORDS + 2))


@pytest.fixture(scope="module", autouse=True)
def checks():
    if not CheckRegistry().checks:
        CheckRegistry().register_many(CHECKS)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("# Head\n\nOne line.\nThis is done in order to win.\n", 4, "write to"),
        (f"# Head\n\n{LONG}.\n", 3, f"a sentence of {MOST_WORDS + 2} words"),
        ("A line.\n\n| a | b |\n|---|---|\n| one | It was as if if it rained. |\n", 5, "lexical_illusions"),
        ("First.\n\n- entry\n- It ended at the end of the day.\n", 4, "industrial"),
    ],
)
def test_a_fault_is_named_at_its_line(text, line, part):
    assert [where for where, fault in faults(text) if part in fault] == [line]


def test_code_and_formulas_are_no_prose():
    code = f"    in order to {LONG}\n\n```python\njust = '{LONG}'\n```"
    text = f"Text.\n\n{code}\n\nRun `in order to {LONG}`, and ${LONG}$ too.\n"
    assert list(faults(text)) == []
