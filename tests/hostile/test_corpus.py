"""Every hostile input ends in the right dataset, or in one line: no traceback, no hang, no memory, no foreign code."""

from __future__ import annotations

from collections import Counter

import pytest
from hostile.guard import Guard
from hostile.judge import fault
from hostile.make_corpus import CASES

#: Hostile inputs that there are at least.
LEAST = 300


@pytest.fixture(scope="module")
def guard():
    made = Guard()
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES, ids=[ascii(case.name)[1:-1] for case in CASES])
def test_a_hostile_input_is_a_dataset_or_one_line(case, guard):
    assert fault(case, guard.outcome(case.name)) is None


def test_the_corpus_is_large(capsys):
    with capsys.disabled():
        print(f"\n{len(CASES)} distinct hostile inputs")
    assert len(CASES) >= LEAST
    assert Counter(case.name for case in CASES).most_common(1)[0][1] == 1


def test_the_guard_sees_what_it_guards_from(tmp_path):
    """A case that hangs, one that ends its process and one that fills the memory fail, and the next one is read."""
    made = Guard(cases="hostile.bad_cases", patience=3)
    found = {name: made.outcome(name) for name in ("hangs", "dies", "fills the memory", "is right")}
    made.close()
    assert "hang" in found["hangs"] and found["dies"]["died"] and "MemoryError" in found["fills the memory"]["raised"]
    assert found["is right"]["classes"] == {"ant": 1}
