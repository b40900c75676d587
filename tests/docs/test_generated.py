"""What a directive writes stands in its place, in a documentation that Sphinx builds."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

CONF = """
extensions = ["myst_parser", "mathml", "reference", "recorded", "figures"]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
html_math_renderer = "mathml"
html_theme = "basic"
"""
Build = Callable[[str], tuple[str, str]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A function from the text of a page to its article as HTML, and the warnings."""

    def built(text: str) -> tuple[str, str]:
        (tmp_path / "conf.py").write_text(CONF)
        (tmp_path / "index.md").write_text(text, encoding="utf-8")
        warnings = io.StringIO()
        with docutils_namespace():
            places = (tmp_path, tmp_path, tmp_path / "out", tmp_path / "out")
            Sphinx(*map(str, places), "html", status=None, warning=warnings, freshenv=True).build()
        page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
        return page.partition('role="main">')[2].partition('<div class="sphinxsidebar')[0], warnings.getvalue()

    return built


def test_sections_come_after_what_stands_before_them_and_can_be_linked_to(build: Build) -> None:
    page, warnings = build("# Title\n\nFirst.\n\n:::{recipe-keys}\n:::\n\n## Uses\n\n:::{catalogue} uses\n:::\n")
    assert not warnings
    assert re.findall(r"<h(\d)>([^<]+)", page) == [
        ("1", "Title"),
        ("2", "Keys of a recipe"),
        ("2", "Keys of an arm"),
        ("2", "Uses"),
    ]
    assert page.index("First.") < page.index("Keys of a recipe") < page.index("Name of the experiment")
    assert page.index("Uses<") < page.index("co-trained</span>")


def test_a_label_in_front_of_a_section_is_a_target(build: Build) -> None:
    page, warnings = build(
        "# Title\n\n[](#command-rank) and [](#spec-options)\n\n:::{commands}\n:::\n\n:::{schemes}\n:::\n"
    )
    assert not warnings
    for label, title in (("command-rank", "transfer rank"), ("spec-options", "Options of every scheme")):
        assert re.search(rf'href="#{label}">(?:<[^>]+>)*{title}', page)
        assert re.search(rf'id="{label}"[^<]*(?:<[^h][^>]*>\s*)*<h2>{title}', page)


def test_recorded_figures_tables_and_plots_are_on_the_page(build: Build) -> None:
    page, warnings = build(
        "# Title\n\nIt takes {recorded}`emd > ours, euclidean > seconds | .0f` s.\n\n:::{results} demo\n:::\n\n"
        ":::{figure-of} margins\n:alt: What it shows.\nThe *caption*.\n:::\n"
    )
    assert not warnings
    assert re.search(r"It takes \d+ s\.", page)
    assert "from scratch" in page and "<table" in page
    assert 'aria-label="What it shows."' in page and "The <em>caption</em>." in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{recorded}`emd > no such key | d`", "no recorded figure"),
        (":::{figure-of} margins\nx\n:::", "say in `alt`"),
        ("$\\bigg x$", "index.md:3: WARNING: equation"),
    ],
)
def test_what_is_wrong_is_a_warning(build: Build, text: str, expected: str) -> None:
    assert expected in build(f"# Title\n\n{text}\n")[1]
