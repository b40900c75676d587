"""Every file that a document names is there."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from page_blocks import PAGES, ROOT

DOCUMENTS = (*PAGES, Path("CONTRIBUTING.md"), Path("SECURITY.md"))
TOP = ("features", "similarity", "finetune", "transfer", "tests", "benchmarks", "recipes", "notebooks")


def named_in(document: Path) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [path for path in re.findall(r"`([\w.-]+(?:/[\w.-]*)+)`", text) if path.split("/")[0] in TOP]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_files_that_a_document_names_are_there(document: Path) -> None:
    assert not [path for path in named_in(document) if not (ROOT / path).exists()]


def test_files_that_documents_name_are_found() -> None:
    assert {"CONTRIBUTING.md", "docs/guides/extending.md"} <= {str(name) for name in DOCUMENTS if named_in(name)}


@pytest.mark.parametrize("release", ["2.6.2", "2.6.3"])
def test_releases_that_are_known_to_be_malicious_stay_excluded(release: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    needed = [Requirement(line) for line in setup["options"]["install_requires"].splitlines() if line]
    (lightning,) = [one for one in needed if one.name == "lightning"]
    assert release not in lightning.specifier and "2.6.1" in lightning.specifier
    assert f"!={release}" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
