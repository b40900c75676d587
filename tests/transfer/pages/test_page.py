"""The parts that the pages share."""

import re

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
