"""Plots are drawn from formulas and recorded results, and take the colours of the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from figures import COLOURS, INK, svg
from matplotlib import pyplot as plt
from method_figures import FIGURES

from finetune.losses.class_weights import effective_number

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", FIGURES)
def test_a_plot_is_an_element_in_the_colours_of_the_page(name):
    text = svg(name, 'what "it" shows')
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img" and root.get("aria-label") == 'what "it" shows'
    assert not any(colour in text for colour in (INK, *COLOURS))
    assert "var(--figure-1)" in text and "currentColor" in text
    assert "#ffffff" not in text  # the page's own background
    assert "<style" not in text  # it would hold for the whole page
    assert text == svg(name, 'what "it" shows')
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_every_plot_is_on_a_page_with_its_description():
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md")))
    shown = re.findall(r":::\{figure-of\} (\S+)\n:alt: (.+)\n(.+)", pages)
    assert sorted(name for name, _, _ in shown) == sorted(FIGURES)
    assert all(len(alt) > 60 and len(caption) > 20 for _, alt, caption in shown)


def test_the_effective_numbers_are_those_of_the_formula():
    figure = FIGURES["effective-numbers"]()
    line = figure.axes[0].lines[1]
    images = line.get_xdata()
    np.testing.assert_allclose(line.get_ydata(), (1 - 0.99**images) / 0.01, rtol=1e-9)
    np.testing.assert_allclose(line.get_ydata(), effective_number(images, 0.99))
    plt.close(figure)


def test_plots_on_one_page_have_no_id_in_common():
    ids = [set(re.findall(r'id="([^"]+)"', svg(name, "x" * 70))) for name in ("samplings", "classifiers")]
    assert not ids[0] & ids[1]
