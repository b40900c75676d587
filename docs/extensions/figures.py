"""The directive ``figure-of NAME``: a plot of :mod:`method_figures`, drawn when the page is built.

The plot is part of the page, as SVG. Its text has the colour of the page's text, and its lines have the theme's colours
for figures, so that one plot serves light and dark pages.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: Colours of the lines, as in the plot; conf.py gives each a light and a dark one.
INK = "#010203"
COLOURS = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06")
#: Sides of a plot of one panel, in inches of 72 px.
WIDTH, HEIGHT = 6.6, 3.1
_STYLE = "width: 100%; min-width: 28rem; max-width: 44rem; height: auto; stroke-linejoin: round; stroke-linecap: butt"
_NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
#: A narrow page shifts the plot sideways instead of making its text too small.
_FRAME = '<div style="overflow-x: auto" tabindex="0">{}</div>'


def svg(name: str, alt: str) -> str:
    """The plot called ``name`` as an SVG element with its description."""
    from matplotlib import pyplot as plt
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from method_figures import FIGURES

    style: dict[str, Any] = {
        "svg.fonttype": "none",  # text stays text, and takes the page's font
        "svg.hashsalt": name,  # the same file from the same data, and ids that differ between plots
        "font.family": "sans-serif",
        "font.size": 10,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.figsize": (WIDTH, HEIGHT),
        "axes.prop_cycle": plt.cycler(color=COLOURS),
    } | dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    with plt.rc_context(style):
        figure = FIGURES[name]()
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
        plt.close(figure)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Its style would hold for the whole page.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text).replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS, start=1):
        text = text.replace(colour, f"var(--figure-{number})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--font-stack)", text)
    head = f'<svg role="img" aria-label="{escape(alt)}" style="{_STYLE}"'
    first = r'<svg (?:[^>]*?)(viewBox="[^"]*")[^>]*>'
    return re.sub(first, rf"{head} \1 {_NAMES}>", text, count=1)


class FigureOf(SphinxDirective):
    """A plot with its caption, which is the content of the directive."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        if "alt" not in self.options:
            raise self.error("say in `alt` what the plot shows")
        figure = nodes.figure()
        figure += nodes.raw("", _FRAME.format(svg(self.arguments[0], self.options["alt"])), format="html")
        text = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, text)
        paragraph = text.children[0] if text.children else nodes.paragraph()
        figure += nodes.caption("", "", *paragraph.children)
        return [figure]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("figure-of", FigureOf)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
