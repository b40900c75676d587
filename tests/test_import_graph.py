"""The source tree: its imports form no cycle, not even inside functions, and every file can be read in one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("features", "similarity", "finetune", "transfer")
#: A file of more lines has more than one concept in it.
MOST_LINES = 350


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of the project that a piece of code imports, wherever the import stands; not those for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module
        yield from imported(node)


def test_no_import_closes_a_cycle() -> None:
    graph = {name: set(imported(ast.parse(file.read_text(encoding="utf-8")))) for name, file in MODULES.items()}
    assert sum(map(len, graph.values())) > len(MODULES)  # the graph has edges
    for name in PACKAGES:
        graph[name] -= {name}  # a package's own names are imported when they are first used
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks", "tests"])
def test_files_are_short_enough_to_read_in_one_sitting(folder: str) -> None:
    long = {}
    for file in (ROOT / folder).rglob("*.py"):
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            long[file.relative_to(ROOT).as_posix()] = lines
    assert not long
