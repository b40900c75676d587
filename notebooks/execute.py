"""Run notebooks from top to bottom and store what they show.

    python notebooks/execute.py notebooks/*.ipynb

Progress goes to standard error, differs from machine to machine, and is not stored.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat


def execute(path: Path) -> None:
    """Run a notebook in an empty folder, and write it with its outputs.

    An error of a cell is raised, and nothing is written.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = stored(cell.outputs)
    nbformat.write(notebook, path)


def stored(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """The outputs without progress; texts on both sides of it become one output."""
    found: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if output.get("name") == "stdout" and found and found[-1].get("name") == "stdout":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name)
        execute(Path(name))
