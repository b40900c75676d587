"""The parts that the pages share."""

import re

from transfer.pages.excerpts import of_notes, of_text
from transfer.pages.page import _environment


def test_a_long_table_is_cut_and_says_so():
    parts = _environment().get_template("parts.html.j2").module
    for number, more in ((1000, ""), (3500, "2,500 more rows are left out.")):
        for shown in (
            parts.table(["name", ">images"], [("a", 1)] * number),
            parts.facts({f"package{i}": "1" for i in range(number)}),
        ):
            assert len(re.findall("<td[^>]*>1</td>", shown)) == 1000
            assert (more in shown) if more else ("left out" not in shown)


def test_excerpts_hold_what_there_is_if_it_is_short():
    assert of_notes(["a"] * 20) == ["a"] * 20
    assert of_notes(["a"] * 22) == ["a"] * 20 + ["2 more notes of this kind are left out."]
    assert of_text("a: 1\n", "f") == "a: 1\n"
    cut = of_text("a: 1\n" * 30_000, "config.yaml").splitlines()
    assert set(cut[:-1]) == {"a: 1"}
    assert cut[-1] == f"# {150_001 - 5 * len(cut[:-1]):,} more characters stand in config.yaml"
