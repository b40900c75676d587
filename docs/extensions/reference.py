"""Directives for the reference: ``commands``, ``schemes``, ``recipe-keys``, ``catalogue KIND`` and ``api PACKAGE``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from typing import Any

from api_text import api
from generated import Generated
from reference_text import catalogue, commands, recipe_keys, schemes
from sphinx.application import Sphinx


def directive(text: Callable[..., str], arguments: int = 0) -> type[Generated]:
    """The directive that writes ``text`` of so many arguments."""

    class Written(Generated):
        required_arguments = arguments

        def write(self) -> str:
            return text(*self.arguments)

    return Written


#: What a signature spells out, without the names of modules, and its name in the code.
_TYPES = {
    r"_Buffer \| _SupportsArray\[.*?_NestedSequence\[complex \| bytes \| str\]": "ArrayLike",
    r"ndarray\[tuple\[Any, \.\.\.\], dtype\[([^\[\]]*)\]\]": r"NDArray[\1]",
    r"Annotated\[([^\[\]]*), Range\([^)]*\)\]": r"\1",
}
_MODULES = re.compile(r"~?\b(?:numpy|typing|features\.infrastructure\.options)\.(?:_?[a-z]\w*\.)*(?=[_A-Za-z])")


def short_types(app: Sphinx, what: str, name: str, obj: object, options: object, *shown: str | None) -> Any:
    """Write the types of a signature and of what it returns as the code does."""
    return tuple(
        text and reduce(lambda found, part: re.sub(*part, found), _TYPES.items(), _MODULES.sub("", text))
        for text in shown
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-signature", short_types)
    app.add_directive("commands", directive(commands))
    app.add_directive("schemes", directive(schemes))
    app.add_directive("recipe-keys", directive(recipe_keys))
    app.add_directive("catalogue", directive(catalogue, 1))
    app.add_directive("api", directive(api, 1))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
