"""The examples of docs/guides/extending.md: each is one source file and one test, and the catalogue finds its row."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.backbones.family import FAMILIES
from features.infrastructure.catalogue import Catalogue
from features.readers import SCHEMES
from finetune.augmentation import AUGMENTATIONS
from finetune.classifiers.second_stage import METHODS
from finetune.exporting import FORMATS
from finetune.losses import LOSSES
from finetune.samplers import SAMPLERS
from similarity import GEOMETRIES, MEASURES, STRATEGIES
from transfer.kinds import KINDS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guides" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, flags=re.S)
EXAMPLES = list(zip(BLOCKS[::2], BLOCKS[1::2], strict=True))
CATALOGUES: tuple[Catalogue[Any], ...] = (SCHEMES, STRATEGIES, MEASURES, LOSSES)
OTHERS: tuple[Catalogue[Any], ...] = (FAMILIES, GEOMETRIES, SAMPLERS, AUGMENTATIONS, METHODS, FORMATS)


@pytest.fixture
def added(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue[Any]]:
    """The catalogue of the package to which an example adds its module, for the time of the test."""
    path, code = request.param
    name = path.removesuffix(".py").replace("/", ".")
    package = name.rpartition(".")[0]
    (catalogue,) = (catalogue for catalogue in CATALOGUES if catalogue.package == package)
    (tmp_path / Path(path).name).write_text(code, encoding="utf-8")
    module = importlib.import_module(package)
    monkeypatch.setattr(module, "__path__", [*module.__path__, str(tmp_path)])
    catalogue.__dict__.pop("_rows", None)  # what it has collected so far
    yield catalogue
    catalogue.__dict__.pop("_rows", None)
    sys.modules.pop(name, None)
    if hasattr(module, name.rpartition(".")[2]):
        delattr(module, name.rpartition(".")[2])


def test_there_is_an_example_for_each_kind() -> None:
    packages = {source[0].rpartition("/")[0].replace("/", ".") for source, _ in EXAMPLES}
    assert packages == {catalogue.package for catalogue in CATALOGUES}


@pytest.mark.parametrize(
    ("added", "test"), [(s, t) for s, t in EXAMPLES], indirect=["added"], ids=[s[0] for s, _ in EXAMPLES]
)
def test_an_example_works(added: Catalogue[Any], test: tuple[str, str], tmp_path: Path) -> None:
    assert any("meaning" in vars(row) and row.meaning for row in added.values())
    path, code = test
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, path, "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for function in tests:
        function(**({"tmp_path": tmp_path} if "tmp_path" in inspect.signature(function).parameters else {}))


@pytest.mark.parametrize("row", re.findall(r"^\| .*? \| `(\w+)` in `(\S+)` \| `(\S+)` \|", PAGE, flags=re.M))
def test_the_table_names_what_is_there(row: tuple[str, str, str]) -> None:
    name, file, package = row
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    assert inspect.isclass(getattr(module, name)) and getattr(module, name).__module__ == module.__name__
    assert (ROOT / package).is_dir()


def test_the_table_names_the_entry_points_of_every_kind() -> None:
    rows = re.findall(r"^\| .*? \| `(\w+)` in .* `(\S+)/` \| `transfer inspect (\w+)` \| `(\S+)` \|", PAGE, flags=re.M)
    stated = {(row_type, package.replace("/", "."), group) for row_type, package, _, group in rows}
    assert stated == {(one.row_type.__name__, one.package, one.group) for one in CATALOGUES + OTHERS}
    assert all(group == f"transfer.{kind}" and kind in KINDS for _, _, kind, group in rows)


def test_the_package_that_is_shown_is_the_one_that_is_tested() -> None:
    (shown,) = re.findall(r"```toml\n# pyproject.toml\n(.*?)```", PAGE, flags=re.S)
    tested = (ROOT / "tests" / "example_package" / "pyproject.toml").read_text(encoding="utf-8")
    assert tested.endswith(shown)
