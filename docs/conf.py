"""Configuration of the documentation. `make docs` builds it, with every warning an error."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "Transfer toolkit"
author = "The authors of transfer-toolkit"
version = release = version_of("transfer-toolkit")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "mathml",
]
exclude_patterns = ["extensions"]
html_theme = "furo"
html_title = project
html_static_path: list[str] = []

myst_enable_extensions = ["dollarmath", "deflist"]
#: Headings down to the third level can be linked to as `page.md#heading`.
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
copybutton_prompt_text = "$ "

html_math_renderer = "mathml"
