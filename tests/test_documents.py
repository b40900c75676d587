"""Every file that a document names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_blocks import PAGES, ROOT

DOCUMENTS = (*PAGES, Path("CONTRIBUTING.md"))
TOP = ("features", "similarity", "finetune", "transfer", "tests", "benchmarks", "recipes", "notebooks")


def named_in(document: Path) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [path for path in re.findall(r"`([\w.-]+(?:/[\w.-]*)+)`", text) if path.split("/")[0] in TOP]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_files_that_a_document_names_are_there(document: Path) -> None:
    assert not [path for path in named_in(document) if not (ROOT / path).exists()]


def test_files_that_documents_name_are_found() -> None:
    assert {"CONTRIBUTING.md", "docs/guides/extending.md"} <= {str(name) for name in DOCUMENTS if named_in(name)}
