"""Every file that a document names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/guides/extending.md")
TOP = ("features", "similarity", "finetune", "transfer", "tests", "benchmarks", "recipes", "notebooks")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_files_that_a_document_names_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = [path for path in re.findall(r"`([\w.-]+(?:/[\w.-]*)+)`", text) if path.split("/")[0] in TOP]
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]
