"""Configuration of the documentation. `make docs` builds it, with every warning an error."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "Transfer toolkit"
author = "The authors of transfer-toolkit"
copyright = author
version = release = version_of("transfer-toolkit")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "mathml",
    "reference",
    "recorded",
    "figures",
]
exclude_patterns = ["extensions"]
html_theme = "furo"
html_title = project
html_static_path: list[str] = []
#: The lines of plots, by Okabe and Ito's palette: told apart with any colour vision, on light and on dark pages.
LIGHT = ("#0072b2", "#c04d00", "#007a5a", "#a6537d", "#8a6d00", "#4d4d4d")
DARK = ("#56b4e9", "#ff8c42", "#2fc89b", "#e39cc4", "#f0e442", "#bbbbbb")
html_theme_options = {
    f"{theme}_css_variables": {f"figure-{number}": colour for number, colour in enumerate(colours, start=1)}
    for theme, colours in (("light", LIGHT), ("dark", DARK))
}

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
#: Headings down to the third level can be linked to as `page.md#heading`.
myst_heading_anchors = 3

autodoc_typehints = "signature"
#: The types of attributes stand in the signature of their class.
napoleon_attr_annotations = False
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
copybutton_prompt_text = "$ "
lexers["csv"] = TextLexer()

html_math_renderer = "mathml"
