"""The reference of a package's names: one directive of autodoc for each, by functions, classes and constants."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer


def api(package: str) -> str:
    """All names that a package promises (``__all__``), as a block of reStructuredText."""
    module = importlib.import_module(package)
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Constants": []}
    for name in module.__all__:
        found = getattr(module, name)
        kind = "Classes" if inspect.isclass(found) else "Functions" if inspect.isroutine(found) else "Constants"
        kinds[kind].append(name)
    comments = _comments(package)
    parts = []
    for kind, names in kinds.items():
        if names:
            parts += [f"## {kind}", "```{eval-rst}"]
        for name in names:
            if kind == "Functions":
                parts.append(f".. autofunction:: {package}.{name}\n")
            elif kind == "Classes":
                parts.append(f".. autoclass:: {package}.{name}\n   :members:\n")
            else:
                parts.append(f".. py:data:: {package}.{name}\n\n   {comments.get(name, '')}\n")
        if names:
            parts.append("```")
    return "\n".join(parts)


def _comments(package: str) -> dict[str, str]:
    """Constant → the comment above it, in the module that the package takes it from."""
    stub = Path(importlib.import_module(package).__file__ or "").with_suffix(".pyi")
    found = {}
    for statement in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom):
            origin = importlib.import_module("." * statement.level + (statement.module or ""), package)
            comments = ModuleAnalyzer.for_module(origin.__name__).find_attr_docs()
            for name in (alias.name for alias in statement.names):
                found[name] = " ".join(comments.get(("", name), []))
    return found
