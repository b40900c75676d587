"""The reference of Python names has every name that a package promises."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from api_text import api
from reference import short_types
from reference_text import PACKAGES
from sphinx.util.inspect import signature, stringify_signature

import finetune
import similarity

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_page_has_every_promised_name_once(package):
    found = re.findall(r"^\.\. (?:auto|py:)(\w+):: (\S+)", api(package), re.MULTILINE)
    module = importlib.import_module(package)
    assert sorted(name for _, name in found) == sorted(f"{package}.{name}" for name in module.__all__)
    for kind, name in found:
        value = getattr(module, name.rpartition(".")[2])
        assert (kind == "class") == isinstance(value, type)
        assert (kind == "function") == (callable(value) and not isinstance(value, type))
    assert f":::{{api}} {package}\n" in (DOCS / "reference" / f"api-{package}.md").read_text(encoding="utf-8")


def test_a_constant_has_the_comment_above_it():
    assert "The strategy that finds related classes best" in api("similarity")


def test_types_of_a_signature_are_as_in_the_code():
    def shown(function):
        text = stringify_signature(signature(function), unqualified_typehints=True)  # as autodoc does
        (text,) = short_types(None, "function", "", None, None, text)
        return text

    assert shown(finetune.class_balanced_weights) == (
        "(counts: ArrayLike, beta: float | Literal['auto'], *, classes: ~collections.abc.Sequence[str] | None = None) "
        "-> NDArray[float64]"
    )
    assert shown(similarity.emd).startswith("(source_points: NDArray[floating], source_weights: NDArray[number], ")
    assert short_types(None, "function", "", None, None, None, None) == (None, None)
